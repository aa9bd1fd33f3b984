"""Agreement of predictions with measurements: errors, ranks, and how often intervals hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.ranks import correlation

Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""Relative error that floating point may add to a value exactly on a bound."""


@dataclass(frozen=True)
class PredictionQuality:
    """Errors are relative to what was measured; errors and shares are fractions, so 0.05 is 5 %.

    Ranks are None where all predictions or all measurements are equal, coverage where there are no intervals.
    """

    networks: int
    mape: float
    """Mean absolute error."""
    bias: float
    """Mean error: above 0, predictions are too slow."""
    nine_in_ten: float
    """The absolute error that nine networks in ten stay within (0.9 quantile, interpolated)."""
    worst: float
    """Largest absolute error."""
    within_5: float
    """Share of networks whose absolute error is at most 5 %."""
    within_10: float
    spearman: float | None
    """Spearman's rank correlation; ties share their mean rank."""
    kendall: float | None
    """Kendall's rank correlation, tau-b, which corrects for ties."""
    coverage_90: float | None = None
    """Share of measurements that lie in the 90 % interval of their prediction, its ends included."""

    @classmethod
    def of(
        cls,
        predicted: Sequence[float],
        measured: Sequence[float],
        *,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
    ) -> PredictionQuality:
        """Compare predictions, one for each network, with measurements in the same unit.

        Raises:
            ValueError: there is none, numbers of values differ, one is not finite, or a measurement is not above 0.
        """
        guess, truth = _column("predicted", predicted, len(measured)), _column("measured", measured, len(measured))
        if (truth <= 0).any():
            raise ValueError("measured times are above 0")
        error = guess / truth - 1
        size = np.abs(error)
        covered = None
        if low is not None and high is not None:
            ends = _column("low", low, len(truth)), _column("high", high, len(truth))
            slack = ROUNDING * truth
            covered = float(np.mean((ends[0] - slack <= truth) & (truth <= ends[1] + slack)))
        return cls(
            networks=len(truth),
            mape=float(size.mean()),
            bias=float(error.mean()),
            nine_in_ten=float(np.quantile(size, 0.9)),
            worst=float(size.max()),
            within_5=float(np.mean(size <= 0.05 + ROUNDING)),
            within_10=float(np.mean(size <= 0.10 + ROUNDING)),
            spearman=correlation("spearman", guess, truth),
            kendall=correlation("kendall", guess, truth),
            coverage_90=covered,
        )

    def as_dict(self) -> dict[str, float | int | None]:
        """Return a JSON-ready form."""
        return asdict(self)


def _column(name: str, values: Sequence[float], length: int) -> Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (length,) or not length:
        raise ValueError(f"`{name}` has shape {column.shape}; one value for each of at least one network is needed")
    if not np.isfinite(column).all():
        raise ValueError(f"`{name}` holds a value that is not finite")
    return column
