"""Values of metrics with their sampling errors, and differences of two networks on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError


class Estimate(NamedTuple):
    """Value of a metric, with its standard error where that is known."""

    value: float
    error: float | None = None
    influence: NDArray[Any] | None = None
    """(samples,) influence function of the metric, of mean 0: two networks on the same samples are compared by it."""


class LazyEstimates(Mapping[str, Estimate]):
    """Estimates by the names of metrics, each computed when it is first looked up.

    Args:
        functions: by name, a function that returns the estimate; None where the samples leave the metric undefined.
    """

    def __init__(self, functions: Mapping[str, Callable[[], Estimate | None]]) -> None:
        self._functions = functions
        self._computed: dict[str, Estimate | None] = {}

    def __getitem__(self, name: str) -> Estimate:
        if name not in self._computed:
            self._computed[name] = self._functions[name]()
        if (estimate := self._computed[name]) is None:
            raise DataError(
                f"`{name}` is undefined on these samples",
                where="metrics",
                allowed="A metric needs samples that it can tell apart, such as those of two classes",
                do="Add such samples to the split, or choose another metric as `quality` of the task",
            )
        return estimate

    def __iter__(self) -> Iterator[str]:
        for name in self._functions:
            try:
                self[name]
            except DataError:
                continue
            yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._functions and name in list(self)


def binomial_error(share: float, count: int) -> float:
    """Return the standard error of a share of `count` observations."""
    return math.sqrt(share * (1 - share) / count)


def estimated(value: float, influence: NDArray[Any]) -> Estimate:
    """Return an estimate whose standard error follows from the influence of each sample.

    >>> estimated(0.75, np.array([0.25, 0.25, 0.25, -0.75])).error
    0.21650635094610965
    """
    return Estimate(float(value), _error(influence), influence)


def paired_difference(one: Estimate, other: Estimate) -> Estimate:
    """Return the first minus the second of two estimates on the same samples, with the error of paired samples.

    The error is None where a metric has no influence function.

    >>> hits = np.array([1.0, 1.0, 1.0, 0.0])
    >>> same = estimated(0.75, hits - 0.75)
    >>> paired_difference(same, same)[:2]
    (0.0, 0.0)
    """
    difference = one.value - other.value
    if one.influence is None or other.influence is None or len(one.influence) != len(other.influence):
        return Estimate(difference)
    return estimated(difference, one.influence - other.influence)


def mean_of_ratios(parts: NDArray[Any], wholes: NDArray[Any]) -> Estimate | None:
    """Return the mean over columns of sum(parts) / sum(wholes); both are (samples, columns).

    Columns without a whole are left out; None if there is no other.

    >>> mean_of_ratios(np.array([[1.0], [2.0]]), np.array([[2.0], [2.0]])).value
    0.75
    """
    totals = wholes.sum(0)
    if not (kept := totals > 0).any():
        return None
    parts, wholes, totals = parts[:, kept], wholes[:, kept], totals[kept]
    ratios = parts.sum(0) / totals
    return estimated(ratios.mean(), len(parts) * ((parts - ratios * wholes) / totals).mean(1))


def _error(influence: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(influence).mean() / len(influence)))
