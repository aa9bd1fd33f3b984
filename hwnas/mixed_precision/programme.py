"""The best precisions of a chain of operators, by an exact dynamic programme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError

Floats = NDArray[np.float64]
OPERATOR_PRECISIONS = ("fp32", "int8")
"""Precisions of an operator; files take and give the first one."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Costs and losses of the precisions of a network's operators. Both are sums.

    Args:
        ms: (operators, precisions) time of each operator.
        losses: (operators, precisions) loss of each operator.
        boundaries_ms: (operators + 1, precisions, precisions) time of the change from one precision to another at each
            tensor: that of the input, those between operators, that of the output.
        constant_ms: time of a network whatever its precisions.
    """

    ms: Floats
    losses: Floats
    boundaries_ms: Floats
    constant_ms: float = 0.0

    def __post_init__(self) -> None:
        count, precisions = self.ms.shape
        expected = [(count, precisions), (count + 1, precisions, precisions)]
        if [self.losses.shape, self.boundaries_ms.shape] != expected or count < 1:
            raise ConfigError(
                f"times of shape {self.ms.shape}, losses of {self.losses.shape} and boundaries of "
                f"{self.boundaries_ms.shape} are no chain",
                where="mixed precision",
                allowed="(operators, precisions) twice, and (operators + 1, precisions, precisions)",
                do="Give one row for each operator and one boundary for each tensor, those of both ends included",
            )

    def price(self, precisions: Sequence[int]) -> tuple[float, float]:
        """Return time and loss of one assignment, given as the number of each operator's precision."""
        ms = loss = 0.0
        before = 0
        for number, after in enumerate(precisions):
            ms += float(self.boundaries_ms[number, before, after]) + float(self.ms[number, after])
            loss += float(self.losses[number, after])
            before = after
        return self.constant_ms + (ms + float(self.boundaries_ms[len(precisions), before, 0])), loss


@dataclass(frozen=True)
class Assignment:
    """Precisions of a network's operators, with the time and the loss of the whole."""

    precisions: tuple[int, ...]
    """Number of each operator's precision, of `OPERATOR_PRECISIONS`."""
    ms: float
    loss: float


@dataclass(frozen=True, eq=False)
class _PartialAssignments:
    """Ways to assign the operators so far, the last one in one precision: those that no other one beats in both."""

    ms: Floats
    loss: Floats
    before: NDArray[np.intp]
    """Number of the label of the operator before, counted over all of its precisions."""


def pareto_assignments(chain: Chain) -> list[Assignment]:
    """Return the assignments that no other one beats in time and loss, fastest first.

    Of several with equal time and loss, one is returned.
    """
    steps = [_first(chain)]
    for number in range(1, len(chain.ms)):
        steps.append([_next(chain, number, after, steps[-1]) for after in range(chain.ms.shape[1])])
    last = len(chain.ms)
    ms = np.concatenate([labels.ms + chain.boundaries_ms[last, p, 0] for p, labels in enumerate(steps[-1])])
    loss = np.concatenate([labels.loss for labels in steps[-1]])
    return [
        Assignment(_traced(steps, int(label)), chain.constant_ms + float(ms[label]), float(loss[label]))
        for label in _unbeaten(ms, loss)
    ]


def fastest_within(front: Sequence[Assignment], loss: float) -> Assignment | None:
    """Return the fastest assignment of a front that loses at most this; None if all lose more."""
    return next((one for one in front if one.loss <= loss), None)


def _first(chain: Chain) -> list[_PartialAssignments]:
    none = np.zeros(1, dtype=np.intp)
    return [
        _PartialAssignments(np.array([chain.boundaries_ms[0, 0, p] + chain.ms[0, p]]), chain.losses[0, p : p + 1], none)
        for p in range(chain.ms.shape[1])
    ]


def _next(chain: Chain, number: int, after: int, before: Sequence[_PartialAssignments]) -> _PartialAssignments:
    ms = np.concatenate([labels.ms + chain.boundaries_ms[number, p, after] for p, labels in enumerate(before)])
    loss = np.concatenate([labels.loss for labels in before])
    kept = _unbeaten(ms, loss)
    return _PartialAssignments(ms[kept] + chain.ms[number, after], loss[kept] + chain.losses[number, after], kept)


def _unbeaten(ms: Floats, loss: Floats) -> NDArray[np.intp]:
    """Return the numbers of the labels that no other one beats, fastest first."""
    order = np.lexsort((loss, ms))
    best = np.minimum.accumulate(loss[order])
    kept: NDArray[np.intp] = order[np.concatenate([[True], best[1:] < best[:-1]])]
    return kept


def _traced(steps: Sequence[Sequence[_PartialAssignments]], label: int) -> tuple[int, ...]:
    """Return the precisions that led to a label of the last operator."""
    chosen = []
    for labels in reversed(steps):
        precision = 0
        while label >= len(labels[precision].ms):
            label -= len(labels[precision].ms)
            precision += 1
        chosen.append(precision)
        label = int(labels[precision].before[label])
    return tuple(reversed(chosen))
