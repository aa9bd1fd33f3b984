"""Result of a strategy: the networks of a step, and the source that each of them learns from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hwnas.space import Architecture


@dataclass(frozen=True)
class Step:
    """Position in training: epoch and step count from 1; `loss` is the epoch's mean up to here."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class SampledSubnet:
    """One network of a step."""

    architecture: Architecture
    teacher: int | None = None
    """Index, earlier in the step, of the network whose predictions it learns from; None: it learns from the labels,
    and from the teacher of the recipe if there is one."""


Strategy = Callable[[Step, random.Random], Sequence[SampledSubnet]]
"""Sub-networks of one optimizer step. All chance is the generator's, so that a resumed training draws the same."""


def inplace_distillation(architectures: Iterable[Architecture]) -> list[SampledSubnet]:
    """Return lessons in which the first network learns from the labels, the others from it."""
    return [SampledSubnet(architecture, 0 if index else None) for index, architecture in enumerate(architectures)]
