"""Latency of things that were not timed, from those that were: a roofline, its neighbours' residuals, and trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.imputation.kriging import Kriging

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]

TREES_FROM = 200
"""Rows from which trees are grown on top of the kriging; fewer leave them nothing to split."""
KIND_FROM = 20
"""Rows from which a kind has its own roofline and its own error."""
FOLDS = 5
COVERED = 0.9
Z90 = 1.6449


@final
@dataclass(frozen=True, eq=False)
class Described:
    """Features of each row that are known before it is timed."""

    coordinates: Floats
    """(rows, coordinates) in which rows that are near have like latencies: logarithms of sizes, knobs."""
    work: Floats
    """(rows, quantities) at least 0, of which latency is roughly a weighted sum: 1, MACs, bytes."""
    hints: Floats
    """(rows, hints) anything more that a tree may split on."""
    kinds: Integers
    """(rows,) the kind of each row."""

    def __getitem__(self, rows: Integers) -> Described:
        return Described(self.coordinates[rows], self.work[rows], self.hints[rows], self.kinds[rows])

    def __len__(self) -> int:
        return len(self.kinds)


@final
@dataclass(frozen=True, eq=False)
class LogRegressor:
    """Log latency is a roofline's, plus what the neighbours' residuals say, plus boosted trees on both.

    The roofline is a non-negative sum of the work, fitted to relative errors. Trees are means of `FOLDS` members, each
    fitted without a part of the rows; the errors on these parts tell how large the deviation is.
    """

    roofline: Roofline
    scale: Floats
    """(coordinates,) their spread over the rows."""
    kriging: Kriging
    trees: tuple[Any, ...]
    errors: Floats
    """(kinds,) factor from the kriging's deviation to that of the prediction."""

    @classmethod
    def fit(cls, rows: Described, ms: Floats, *, seed: int = 0) -> LogRegressor:
        """Learn from at least three rows and their positive times; the order of the rows does not matter."""
        order = np.lexsort(np.column_stack([ms, rows.hints, rows.work, rows.coordinates, rows.kinds]).T)
        rows, ms, rng = rows[order], ms[order], np.random.default_rng(seed)
        roofline = Roofline.fit(rows, ms)
        residuals = np.log(ms) - roofline.log_ms(rows)
        scale = rows.coordinates.std(axis=0)
        scale[scale == 0] = 1.0
        points = rows.coordinates / scale
        kriging = Kriging.fit(points, residuals, rng)
        folds = np.array_split(rng.permutation(len(rows)), min(FOLDS, len(rows)))
        trees: list[Any] = []
        if len(rows) >= TREES_FROM:
            means, variances = kriging.left_out()
            table = _table(rows, means, variances)
            errors = np.empty(len(rows))
            for number, fold in enumerate(folds):
                kept = np.setdiff1d(np.arange(len(rows)), fold)
                trees.append(_grow(table[kept], residuals[kept], number))
                errors[fold] = residuals[fold] - trees[-1].predict(table[fold])
        else:
            errors, variances = np.empty(len(rows)), np.empty(len(rows))
            for fold in folds:
                kept = np.setdiff1d(np.arange(len(rows)), fold)
                without = Roofline.fit(rows[kept], ms[kept])
                means, variances[fold] = kriging.knowing(
                    points[kept], np.log(ms[kept]) - without.log_ms(rows[kept])
                ).predict(points[fold])
                errors[fold] = np.log(ms[fold]) - without.log_ms(rows[fold]) - means
        ratios = np.abs(errors) / np.sqrt(variances)
        return cls(roofline, scale, kriging, tuple(trees), _by_kind(ratios, rows.kinds))

    def predict(self, rows: Described) -> tuple[Floats, Floats]:
        """Return (rows,) times, in the unit of those learned from, and relative standard deviations."""
        means, variances = self.kriging.predict(rows.coordinates / self.scale)
        if self.trees:
            table = _table(rows, means, variances)
            means = np.mean([tree.predict(table) for tree in self.trees], axis=0)
        ms: Floats = np.exp(self.roofline.log_ms(rows) + means)
        return ms, self.errors[rows.kinds] * np.sqrt(variances)


@final
@dataclass(frozen=True, eq=False)
class Roofline:
    """A weighted sum of the work, with weights of their own for kinds that have many rows."""

    weights: Floats
    """(kinds, quantities)"""
    unit_ms: float
    floor: float
    shift: float

    @classmethod
    def fit(cls, rows: Described, ms: Floats) -> Roofline:
        """Return the non-negative weights of least squared relative error; the median error in logarithms is then 0."""
        from sklearn.linear_model import LinearRegression

        unit = float(np.median(ms))
        relative = ms / unit
        tall = np.maximum(rows.work.max(axis=0), 1e-30)
        kinds, counts = np.unique(rows.kinds, return_counts=True)
        own = kinds[counts >= KIND_FROM]
        columns = np.hstack([rows.work / tall, *((rows.work / tall) * (rows.kinds == kind)[:, None] for kind in own)])
        regression = LinearRegression(positive=True, fit_intercept=False)
        shared, *others = np.split(regression.fit(columns / relative[:, None], np.ones(len(ms))).coef_, 1 + len(own))
        weights = np.tile(shared, (int(rows.kinds.max()) + 1, 1))
        for kind, other in zip(own, others, strict=True):
            weights[kind] += other
        raw = cls(weights / tall, unit, 1e-2 * float(relative.min()), 0.0)
        return cls(raw.weights, unit, raw.floor, float(np.median(np.log(ms) - raw.log_ms(rows))))

    def log_ms(self, rows: Described) -> Floats:
        """Return (rows,) logarithms of the time."""
        sums = np.einsum("rq,rq->r", rows.work, self.weights[rows.kinds])
        logs: Floats = np.log(np.maximum(sums, self.floor)) + np.log(self.unit_ms) + self.shift
        return logs


def _table(rows: Described, means: Floats, variances: Floats) -> Floats:
    """Return the features that trees split on."""
    work = np.log(np.maximum(rows.work, 1.0))
    return np.column_stack([rows.coordinates, work, rows.hints, rows.kinds, means, np.log(variances)])


def _grow(table: Floats, residuals: Floats, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = len(table)
    return HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=int(np.clip(15 * rows**0.5, 100, 1200)),
        early_stopping=False,
        max_leaf_nodes=int(np.clip(rows // 300, 15, 127)),
        min_samples_leaf=int(np.clip(rows // 2000, 4, 10)),
        l2_regularization=0.1,
        max_features=0.5,
        random_state=seed,
    ).fit(table, residuals)


def _by_kind(ratios: Floats, kinds: Integers) -> Floats:
    """Return for each kind the deviation within which as many errors lie as within a Gaussian's; as conformal as rows
    go."""
    factors = np.full(int(kinds.max()) + 1, _covering(ratios))
    for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True):
        if count >= KIND_FROM:
            factors[kind] = _covering(ratios[kinds == kind])
    return factors


def _covering(ratios: Floats) -> float:
    index = min(int(np.ceil(COVERED * (len(ratios) + 1))), len(ratios)) - 1
    return float(np.sort(ratios)[index]) / Z90
