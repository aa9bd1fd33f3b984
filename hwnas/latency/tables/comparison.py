"""Two tables compared: the ratio of each row, the geometric mean with an interval, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import TableError
from hwnas.measure.drift import SENSITIVITY
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_lines import RowKey, input_text
from hwnas.measure.timing import REFERENCE_CONDITION, Measurement
from hwnas.words import brief

Verdict = Literal["faster", "slower", "no difference"]
Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SITTING_SD = 0.003
"""Relative standard deviation of a table's level from sitting to sitting on one machine, beyond what its own rounds
tell: where processes put weights and buffers, and what the reference operator does not see."""
FAST_STATE = 0.05
"""Quantile over rounds at which rows and the reference are compared: the machine's fast state. Medians fall into
the slow state in one sitting and not in the other, which no reference corrects to a percent."""
ROUND_BLOCKS, RESAMPLED = 6, 200
"""Parts into which rounds are divided, since those of one process are alike, and how often these are drawn."""
ASKED = ("device", "accelerator", "runtime", "runtime_version", "precision", "threads", "batch")


@dataclass(frozen=True)
class RowRatio:
    """Times of one operator in the second table over those in the first."""

    op: str
    input: str
    knobs: str
    ratio: float
    low: float
    high: float


@brief
@dataclass(frozen=True)
class TableComparison:
    """How fast the second of two tables is, beside the first.

    Args:
        ratio: geometric mean over the rows that both have, of the second's time over the first's.
        low: end of the 95 % interval.
        high: its other end.
        verdict: `faster` or `slower`, of the second table, if the interval leaves 1 out; else `no difference`.
        as_timed: the ratio before the machine's state was taken out of it.
        corrected: True if times were corrected for drift by the reference operator: both set-ups are the same then.
        rows: ratios, the largest first.
        only_first: number of rows that the second table lacks.
        only_second: number of rows that the first table lacks.
        differences: fields of the set-ups that differ, with both values.
    """

    ratio: float
    low: float
    high: float
    verdict: Verdict
    as_timed: float
    corrected: bool
    rows: tuple[RowRatio, ...]
    only_first: int
    only_second: int
    differences: dict[str, tuple[Any, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def compare_tables(first: LatencyTable, second: LatencyTable) -> TableComparison:
    """Compare two tables by the rows that both have.

    Of one set-up, times are corrected for drift by the reference operator, so that what is told is the operators'
    difference and not that of the machine's state in two sittings. Of two set-ups that differ in anything, the
    reference differs too, and times are compared as they were taken.

    Raises:
        TableError: the tables have no row in common.

    Example:
        >>> from hwnas.measure.table import read_table
        >>> table = read_table("latency_tables/epyc_onnxruntime_fp32_1t_ofa224.jsonl")
        >>> compare_tables(table, table).verdict
        'no difference'
    """
    keys = [key for key in first.rows if key in second.rows]
    if not keys:
        raise TableError(
            "the two tables have no row in common",
            where=f"{first.path}, {second.path}",
            allowed="Tables are compared by operators that both have measured, with the same knobs and input",
            do="Compare tables of one space",
        )
    differences = {
        name: (getattr(first.setup, name), getattr(second.setup, name))
        for name in ASKED
        if getattr(first.setup, name) != getattr(second.setup, name)
    }
    corrected = not differences and all(_has_reference(table.rows[key]) for table in (first, second) for key in keys)
    sides = [_levels([table.rows[key] for key in keys], corrected) for table in (first, second)]
    ratios = sides[1].logs - sides[0].logs
    shared = sum(side.shared_variance + SITTING_SD**2 for side in sides)
    own = sides[0].variances + sides[1].variances + shared
    error = float(np.sqrt(shared + (ratios.var(ddof=1) if len(keys) > 1 else own[0]) / len(keys)))
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    mean = float(ratios.mean())
    low, high = float(np.exp(mean - z * error)), float(np.exp(mean + z * error))
    verdict: Verdict = "faster" if high < 1 else "slower" if low > 1 else "no difference"
    each = z * np.sqrt(own)
    timed = [np.log([table.rows[key].low_ms for key in keys]) for table in (first, second)]
    told = [_row(key, *numbers) for key, *numbers in zip(keys, ratios.tolist(), each.tolist(), strict=True)]
    return TableComparison(
        ratio=float(np.exp(mean)),
        low=low,
        high=high,
        verdict=verdict,
        as_timed=float(np.exp((timed[1] - timed[0]).mean())),
        corrected=corrected,
        rows=tuple(sorted(told, key=lambda row: -row.ratio)),
        only_first=len(first.rows) - len(keys),
        only_second=len(second.rows) - len(keys),
        differences=differences,
    )


@dataclass(frozen=True, eq=False)
class _Levels:
    """Rows of one table as logarithms of their times in the machine's fast state."""

    logs: Floats
    """(rows,)"""
    variances: Floats
    """(rows,) of each row, the shared part left out."""
    shared_variance: float
    """Variance of the mean over rows."""


def _levels(rows: Sequence[Measurement], corrected: bool) -> _Levels:
    """Return levels of rows with their bootstrap variances, blocks of rounds drawn for all rows alike."""
    drawn = np.random.default_rng(0).integers(ROUND_BLOCKS, size=(RESAMPLED, ROUND_BLOCKS))
    taken = np.vstack([np.arange(ROUND_BLOCKS), drawn])
    levels = np.array([_lows(row, taken, corrected) for row in rows])
    means = levels[:, 1:].mean(axis=0)
    return _Levels(levels[:, 0], (levels[:, 1:] - means).var(axis=1), float(means.var()))


def _lows(row: Measurement, taken: NDArray[np.intp], corrected: bool) -> Floats:
    """Return the logarithm of the row's low time over that of the reference, for each choice of blocks."""
    low = _low(row.rounds_ns, taken)
    return low - SENSITIVITY * _low(row.conditions[REFERENCE_CONDITION], taken) if corrected else low


def _low(rounds: Sequence[float], taken: NDArray[np.intp]) -> Floats:
    size = max(len(rounds) // ROUND_BLOCKS, 1)
    blocks = np.resize(np.log(np.asarray(rounds, dtype=float)), (ROUND_BLOCKS, size))
    low: Floats = np.quantile(blocks[taken].reshape(len(taken), -1), FAST_STATE, axis=1)
    return low


def _has_reference(row: Measurement) -> bool:
    reference = row.conditions.get(REFERENCE_CONDITION)
    return isinstance(reference, Sequence) and len(reference) == len(row.rounds_ns) >= ROUND_BLOCKS


def _row(key: RowKey, log_ratio: float, reach: float) -> RowRatio:
    kind, knobs, shape = key
    ends = (float(np.exp(log_ratio + sign * reach)) for sign in (-1, 1))
    return RowRatio(kind, input_text(shape), knobs, float(np.exp(log_ratio)), *ends)
