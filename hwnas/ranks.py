"""Rank correlations, and how far chance could have moved them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["kendall", "spearman", "pearson"]
KINDS: tuple[Kind, ...] = ("kendall", "spearman", "pearson")
RESAMPLES = 2000
SHARE = 0.95
"""Of an interval."""


@dataclass(frozen=True)
class Correlation:
    """A correlation of two columns with its bootstrap interval; Kendall's is tau-b, which corrects for ties."""

    value: float
    low: float
    high: float


def correlation(kind: Kind, one: Sequence[float] | Floats, other: Sequence[float] | Floats) -> float | None:
    """The correlation of two columns of equal length; None under two rows or where a column is constant.

    >>> correlation("kendall", [1, 2, 3], [10, 20, 15])
    0.3333333333333333
    """
    from scipy import stats

    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"columns of shape {left.shape} and {right.shape} cannot be correlated")
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of p-values, which are not asked for
        found = {"kendall": stats.kendalltau, "spearman": stats.spearmanr, "pearson": stats.pearsonr}[kind](left, right)
    return float(found.statistic)


def correlations(
    one: Sequence[float], other: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[Kind, Correlation | None]:
    """All kinds, each with the interval that holds `SHARE` of its values over rows drawn again with replacement.

    All kinds see the same draws. A draw in which a column is constant has no correlation and is left out.
    """
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    rng = np.random.default_rng(seed)
    whole = {kind: correlation(kind, left, right) for kind in KINDS}
    draws = rng.integers(0, len(left), (resamples, len(left))) if whole["kendall"] is not None else ()
    found: dict[Kind, Correlation | None] = {}
    for kind, value in whole.items():
        again = (correlation(kind, left[rows], right[rows]) for rows in draws)
        known = [drawn for drawn in again if drawn is not None]
        tail = (1 - SHARE) / 2
        found[kind] = None if value is None else Correlation(value, *map(float, np.quantile(known, [tail, 1 - tail])))
    return found


def as_json(found: Mapping[Kind, Correlation | None]) -> dict[str, Any]:
    """A JSON-ready form: value and interval by kind."""
    return {
        kind: None if one is None else {"value": one.value, "low": one.low, "high": one.high}
        for kind, one in found.items()
    }
