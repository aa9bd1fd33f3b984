"""Monotone changes of the target, so that a heavy tail does not drown what matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
END = 0.1
"""Share of the targets at either end whose slope is continued beyond it."""


@final
@dataclass(frozen=True, eq=False)
class Warp:
    """A rising, piecewise linear map between targets and values that are about standard normal.

    Half of it is the Gaussian rank, half the logarithm of the distance to the best: ranks alone blow noise up where
    targets lie close together, the logarithm alone leaves half of a bad tail.
    """

    y: Floats
    z: Floats

    @classmethod
    def fit(cls, y: Floats) -> Warp:
        """From at least two different targets."""
        known, counts = np.unique(y, return_counts=True)
        z = 0.5 * _standard(_ranks(counts), counts) + 0.5 * _standard(_nearness(known, counts), counts)
        z = _standard(z, counts)
        reach = max(1, round(END * len(known)))
        low, high = (_slope(known, z, ends) for ends in ((0, reach), (-1 - reach, -1)))
        return cls(
            np.concatenate([[known[0] - 9 * low], known, [known[-1] + 9 * high]]),
            np.concatenate([[z[0] - 9], z, [z[-1] + 9]]),
        )

    def forward(self, y: Floats) -> Floats:
        """Targets as values that are about standard normal."""
        return np.interp(y, self.y, self.z)

    def back(self, z: Floats) -> Floats:
        """The targets of such values."""
        return np.interp(z, self.z, self.y)

    def moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations of targets whose values are Gaussian with these."""
        weights = WEIGHTS / WEIGHTS.sum()
        first, second = np.zeros(len(mean)), np.zeros(len(mean))
        center = self.back(mean)
        for node, weight in zip(NODES, weights, strict=True):
            away = self.back(mean + node * deviation) - center
            first += weight * away
            second += weight * away**2
        return center + first, np.sqrt(np.maximum(second - first**2, 0.0))


def _ranks(counts: NDArray[np.intp]) -> Floats:
    """Gaussian scores of sorted values, equal ones at their middle rank."""
    from scipy.special import ndtri

    middle = np.cumsum(counts) - counts / 2
    scores: Floats = ndtri(middle / counts.sum())
    return scores


def _nearness(known: Floats, counts: NDArray[np.intp]) -> Floats:
    """Minus the logarithm of the distance to the best, in units of the median one."""
    away = known[-1] - known
    unit = float(np.median(np.repeat(away, counts))) or float(away[away > 0].mean())
    nearness: Floats = -np.log1p(away / unit)
    return nearness


def _standard(values: Floats, counts: NDArray[np.intp]) -> Floats:
    mean = np.average(values, weights=counts)
    scaled: Floats = (values - mean) / np.sqrt(np.average((values - mean) ** 2, weights=counts))
    return scaled


def _slope(known: Floats, z: Floats, ends: tuple[int, int]) -> float:
    return float((known[ends[1]] - known[ends[0]]) / (z[ends[1]] - z[ends[0]]))
