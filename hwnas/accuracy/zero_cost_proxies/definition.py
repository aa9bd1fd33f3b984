"""What a training-free proxy is: a function of an untrained network, and the conditions under which it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor, nn

from hwnas.network import Network


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """An untrained network under the conditions of a definition. What is done to its module, nobody else sees."""

    network: Network
    make: Callable[[], nn.Module]
    """Gives the module anew, in the definition's mode, dtype and initialisation: the same numbers at every call."""
    images: Tensor
    """(batch, channels, height, width), normalised; from the normal distribution where no data is used."""
    labels: Tensor
    """(batch,) int64; drawn at random where the images are noise."""
    generator: torch.Generator
    """For whatever else the definition draws, on the CPU. PyTorch's global generator is seeded and put back as well."""

    @cached_property
    def module(self) -> nn.Module:
        """The module; a definition that does not ask for it costs no building."""
        return self.make()


@final
@dataclass(frozen=True)
class Definition:
    """A training-free proxy. More is better, as far as accuracy goes."""

    measure: Callable[[Subject], float]
    """NaN, infinity and errors of arithmetic become a `NoScore`."""
    batch: int
    """Images at once; 0 if the definition looks at none."""
    data: bool = False
    """Whether it looks at real images where there are some; else they are noise, and the definition may put others."""
    labels: bool = False
    """Whether it looks at labels."""
    mode: Literal["train", "eval"] = "train"
    initialisation: str = "pytorch"
    """A name in `INITIALISATIONS`; `pytorch` leaves weights as the module is built."""
    dtype: Literal["float32", "float64"] = "float32"
    resolution: int | None = None
    """Height and width of the images; None is the network's own."""
    repeats: int = 1
    """The score is the mean over so many seeds."""
    draws: bool = True
    """Whether chance has a part in it: weights, images or labels."""
    refuses: Callable[[nn.Module], str | None] | None = None
    """Says for which modules the definition means nothing, and why; None for all others."""
    version: int = 1
    """Counts up when the score of a network changes, so that stored ones are not mixed with new ones."""
