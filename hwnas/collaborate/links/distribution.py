"""Quantities of a link as distributions that three quantiles describe."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hwnas.latency.posterior import Floats

TAIL_Z = NormalDist().inv_cdf(0.95)
LEAST = 1e-9
"""Quantiles are compared by their logarithms, so none is 0."""


@dataclass(frozen=True)
class Quantiles:
    """A positive quantity by its 5 %, 50 % and 95 % quantiles.

    Its logarithm is a normal distribution with one standard deviation below the median and another above it.

    Args:
        p5: the value below which 5 % lie.
        p50: the median.
        p95: the value below which 95 % lie.

    Example:
        >>> Quantiles(43, 85, 201).of_normal(np.array([-TAIL_Z, 0.0, TAIL_Z])).round(9).tolist()
        [43.0, 85.0, 201.0]
    """

    p5: float
    p50: float
    p95: float

    @classmethod
    def constant(cls, value: float) -> Quantiles:
        """Return the distribution of a quantity that never varies."""
        return cls(value, value, value)

    @property
    def is_constant(self) -> bool:
        """True if the quantity never varies."""
        return self.p5 == self.p95

    def of_normal(self, z: Floats) -> Floats:
        """Return the values at the same quantiles as these standard normal values."""
        if self.is_constant:
            return np.full(np.shape(z), self.p50)
        low, median, high = np.log(np.maximum([self.p5, self.p50, self.p95], LEAST))
        spread = np.where(z < 0, median - low, high - median) / TAIL_Z
        values: Floats = np.exp(median + z * spread)
        return values
