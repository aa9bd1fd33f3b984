"""Rank correlations and how far chance could have moved them; differences that may be chance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["kendall", "spearman", "pearson"]
CORRELATIONS: tuple[Kind, ...] = ("kendall", "spearman", "pearson")
RESAMPLES = 2000
INTERVAL_SHARE = 0.95
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
        test = {"kendall": stats.kendalltau, "spearman": stats.spearmanr, "pearson": stats.pearsonr}[kind](left, right)
    return float(test.statistic)


def correlations(
    one: Sequence[float], other: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[Kind, Correlation | None]:
    """Return all kinds, each with the interval of `INTERVAL_SHARE` of its values over rows drawn with replacement.

    All kinds see the same draws. A draw in which a column is constant has no correlation and is left out.
    """
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    whole = {kind: correlation(kind, left, right) for kind in CORRELATIONS}
    if whole["kendall"] is None:
        return dict.fromkeys(CORRELATIONS)
    count = len(left)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)
    drawn = {
        "kendall": _kendall(times, left, right),
        "spearman": _pearson(times, _ranks(times, left), _ranks(times, right)),
        "pearson": _pearson(times, left, right),
    }
    result: dict[Kind, Correlation | None] = {}
    for kind, value in whole.items():
        known = drawn[kind][np.isfinite(drawn[kind])]
        low, high = np.quantile(known, [(1 - INTERVAL_SHARE) / 2, (1 + INTERVAL_SHARE) / 2])
        result[kind] = None if value is None else Correlation(value, float(low), float(high))
    return result


def _kendall(times: Floats, left: Floats, right: Floats) -> Floats:
    """Tau-b of every draw, (draws,); row i of the columns stands in a draw `times[draw, i]` times."""
    one, other = (np.sign(column[:, None] - column[None, :]) for column in (left, right))
    counted = (
        np.einsum("di,ij,dj->d", times, pairs, times, optimize=True) for pairs in (one * other, one**2, other**2)
    )
    agree, apart, apart_too = counted
    return _over(agree, np.sqrt(apart * apart_too))


def _ranks(times: Floats, column: Floats) -> Floats:
    """Ranks within every draw, ties by their mean, (draws, rows)."""
    below, equal = (times @ mask for mask in (column[:, None] < column[None, :], column[:, None] == column[None, :]))
    return np.asarray(below + (equal + 1) / 2)


def _pearson(times: Floats, left: Floats, right: Floats) -> Floats:
    count = times.sum(axis=1, keepdims=True)
    one, other = (column - (times * column).sum(axis=1, keepdims=True) / count for column in (left, right))
    spread = (times * one**2).sum(axis=1) * (times * other**2).sum(axis=1)
    return _over((times * one * other).sum(axis=1), np.sqrt(spread))


def _over(part: Floats, whole: Floats) -> Floats:
    """The quotient; NaN where a draw has a constant column."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 1e-12)


def as_json(values: Mapping[Kind, Correlation | None]) -> dict[str, Any]:
    """A JSON-ready form: value and interval by kind."""
    return {
        kind: None if one is None else {"value": one.value, "low": one.low, "high": one.high}
        for kind, one in values.items()
    }


def first_equals(values: Sequence[float], errors: Sequence[float | None]) -> list[int | None]:
    """Return by value the index of the first before it that may be equal; None if there is none or an error is unknown.

    Two values may be equal if they are less than two standard errors of their difference apart. Errors are taken
    as independent; of accuracies on the same images that is a bound.

    >>> first_equals([0.80, 0.81, 0.90], [0.01, 0.01, 0.01])
    [None, 0, None]
    """
    nearest: list[int | None] = []
    for index, (value, error) in enumerate(zip(values, errors, strict=True)):
        near = (
            position
            for position, (other, beside) in enumerate(zip(values[:index], errors[:index], strict=True))
            if error is not None and beside is not None and abs(value - other) < 2 * np.hypot(error, beside)
        )
        nearest.append(next(near, None))
    return nearest
