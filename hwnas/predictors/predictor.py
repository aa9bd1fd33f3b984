"""Predictor of a target: its mean and its deviation anywhere, the deviation calibrated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from hwnas.errors import PredictionError
from hwnas.predictors.model import MODELS, Fit, Floats, Integers, Model
from hwnas.predictors.warp import Warp
from hwnas.registry import member

MIN_SCORES = 5
"""Targets from which something can be learned."""
COVERED, Z90 = 0.9, 1.6449
PRIOR_ERRORS = 30
"""As many errors weigh against a model's own deviations as these weigh."""


@final
@dataclass(frozen=True, eq=False)
class Predictor:
    """A target that rises with `latent`: Gaussian there, warped to the target's own unit.

    >>> predictor = Predictor.fit(features(codes), accuracies, features.groups)
    >>> mean, std = predictor.predict(features(other_codes))
    """

    name: str
    """Of the model, as in `MODELS`."""
    model: Model
    warp: Warp
    factor: float
    """From the model's deviations to calibrated ones."""
    error: float
    """Root of the mean squared error on targets that were held out, before the warp is undone: at 1 it is of no use."""
    columns: int

    @classmethod
    def fit(
        cls, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None, *, model: str = "gp", seed: int = 0
    ) -> Predictor:
        """Learn targets `y` (rows,) at `X` (rows, columns). Of rows that are copies, including the target, one counts.

        Args:
            groups: (columns,) whole numbers from 0; columns of a group are comparable. Without, they all are.
            model: a name in `MODELS`.
            seed: of the models that draw.

        Raises:
            PredictionError: fewer than five targets, all of them equal, or a value that is not a finite number.
            ConfigError: there is no such model.
        """
        table, targets, columns = _checked(X, y, groups)
        fit: Fit = member(MODELS, model, what="model", where="predictor")
        warp = Warp.fit(targets)
        z = warp.forward(targets)
        fitted = fit(table, z, columns, seed)
        error = float(np.sqrt(np.mean((z - fitted.held_out[0]) ** 2)))
        return cls(model, fitted, warp, calibration_factor(z, *fitted.held_out), error, table.shape[1])

    def latent(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """(rows,) means and deviations before the warp is undone: `warp.back` makes targets of them."""
        table = np.asarray(X)
        if table.ndim != 2 or table.shape[1] != self.columns:
            raise PredictionError(
                f"features of shape {table.shape} are given",
                where="predictor",
                allowed=f"It was fitted to {self.columns} columns",
                do="Make them with the features that it was fitted with",
            )
        means, deviations = self.model.predict(table)
        return means, self.factor * deviations

    def predict(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """(rows,) means and standard deviations of a target that would be measured there, in its own unit."""
        return self.warp.moments(*self.latent(X))

    def quantile(self, X: ArrayLike, q: float) -> Floats:
        """(rows,) what a target stays below with a probability of `q`."""
        from scipy.special import ndtri

        means, deviations = self.latent(X)
        return self.warp.back(means + float(ndtri(q)) * deviations)


def choose(
    X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None, *, models: Iterable[str] = tuple(MODELS), seed: int = 0
) -> tuple[Predictor, ...]:
    """A predictor of each model, that with the least error on held-out targets first.

    Raises:
        PredictionError, ConfigError: as `Predictor.fit`.
    """
    fitted = [Predictor.fit(X, y, groups, model=model, seed=seed) for model in models]
    return tuple(sorted(fitted, key=lambda predictor: predictor.error))


def calibration_factor(z: Floats, means: Floats, deviations: Floats) -> float:
    """Return the factor of deviations with which nine of ten held-out errors lie in 90 % intervals; it is drawn to 1,
    more so by fewer errors."""
    ratios = np.sort(np.abs(z - means) / deviations)
    covering = ratios[min(int(np.ceil(COVERED * (len(ratios) + 1))), len(ratios)) - 1] / Z90
    return float(np.sqrt((len(ratios) * covering**2 + PRIOR_ERRORS) / (len(ratios) + PRIOR_ERRORS)))


def _checked(X: ArrayLike, y: ArrayLike, groups: ArrayLike | None) -> tuple[Floats, Floats, Integers]:
    table, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    shaped = table.ndim == 2 and targets.ndim == 1 and len(table) == len(targets) and table.shape[1] > 0
    columns = np.zeros(table.shape[-1], np.intp) if groups is None else np.asarray(groups, dtype=np.intp)
    fault, allowed, do = "", "", "Correct the call"
    if not shaped or columns.shape != table.shape[1:] or columns.min() < 0:
        fault = f"features of shape {table.shape}, targets of shape {targets.shape}, groups of shape {columns.shape}"
        allowed = "The shapes are (rows, columns), (rows,) and (columns,)"
    elif not np.isfinite(table).all() or not np.isfinite(targets).all():
        bad = int((~np.isfinite(targets)).sum()), int((~np.isfinite(table).all(axis=1)).sum())
        fault, allowed = f"{bad[0]} targets and the features of {bad[1]} rows are no numbers", "All are finite"
        do = "Leave rows without a target out; `features_of` fills gaps in scores"
    elif len(targets) < MIN_SCORES:
        fault, allowed, do = (
            f"{len(targets)} targets are given",
            f"It takes {MIN_SCORES} to learn from",
            "Evaluate more",
        )
    elif targets.min() == targets.max():
        fault, allowed = (
            f"all {len(targets)} targets are {targets[0]:g}",
            "Targets differ, or there is nothing to learn",
        )
        do = "Evaluate other networks"
    if fault:
        raise PredictionError(fault, where="predictor", allowed=allowed, do=do)
    return *_unlike(table, targets), columns


def _unlike(table: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Return each row once: copies of one measurement would look as if there were no noise."""
    rows = np.ascontiguousarray(np.column_stack([table, targets]))
    kept = sorted({row.tobytes(): index for index, row in reversed(list(enumerate(rows)))}.values())
    return table[kept], targets[kept]
