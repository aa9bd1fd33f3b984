"""What is learned of a target: its mean and its deviation anywhere, the deviation calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.errors import PredictionError
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.predictors.warp import Warp

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]

FEWEST = 5
"""Targets from which something can be learned."""
COVERED, Z90 = 0.9, 1.6449


@final
@dataclass(frozen=True, eq=False)
class Predictor:
    """A target that rises with `latent`: Gaussian there, warped to the target's own unit.

    >>> predictor = Predictor.fit(features(codes), accuracies, features.groups)
    >>> mean, std = predictor.predict(features(other_codes))
    """

    warp: Warp
    process: GaussianProcess
    factor: float
    """From the process's deviation to the calibrated one."""

    @classmethod
    def fit(cls, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Predictor:
        """Learn targets `y` (rows,) at `X` (rows, columns).

        Args:
            groups: (columns,) whole numbers from 0; columns of a group are comparable. Without, they all are.

        Raises:
            PredictionError: fewer than five targets, all of them equal, or what is no number.
        """
        table, targets, columns = _checked(X, y, groups)
        warp = Warp.fit(targets)
        z = warp.forward(targets)
        process = GaussianProcess.fit(table, z, columns)
        means, deviations = process.left_out(z)
        return cls(warp, process, _covering(np.abs(z - means) / deviations))

    def latent(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """(rows,) means and deviations before the warp: `warp.back` makes targets of them."""
        table = np.asarray(X)
        if table.ndim != 2 or table.shape[1] != len(self.process.weights):
            raise PredictionError(
                f"features of shape {table.shape} are given",
                where="predictor",
                allowed=f"It was fitted to {len(self.process.weights)} columns",
                do="Make them with the features that it was fitted with",
            )
        means, deviations = self.process.predict(table)
        return means, self.factor * deviations

    def predict(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """(rows,) means and standard deviations of a target that would be measured there, in its own unit."""
        return self.warp.moments(*self.latent(X))

    def quantile(self, X: ArrayLike, q: float) -> Floats:
        """(rows,) what a target stays below with a probability of `q`."""
        from scipy.special import ndtri

        means, deviations = self.latent(X)
        return self.warp.back(means + float(ndtri(q)) * deviations)


def _covering(ratios: Floats) -> float:
    """The factor on deviations with which nine of ten errors lie in 90 % intervals; as conformal as the rows go."""
    place = min(int(np.ceil(COVERED * (len(ratios) + 1))), len(ratios)) - 1
    return float(np.sort(ratios)[place]) / Z90


def _checked(X: ArrayLike, y: ArrayLike, groups: ArrayLike | None) -> tuple[Floats, Floats, Integers]:
    table, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    shaped = table.ndim == 2 and targets.ndim == 1 and len(table) == len(targets) and table.shape[1] > 0
    columns = np.zeros(table.shape[-1], np.intp) if groups is None else np.asarray(groups, dtype=np.intp)
    met, allowed, do = "", "", "Correct the call"
    if not shaped or columns.shape != table.shape[1:] or columns.min() < 0:
        met = f"features of shape {table.shape}, targets of shape {targets.shape}, groups of shape {columns.shape}"
        allowed = "The shapes are (rows, columns), (rows,) and (columns,)"
    elif not np.isfinite(table).all() or not np.isfinite(targets).all():
        bad = int((~np.isfinite(targets)).sum()), int((~np.isfinite(table).all(axis=1)).sum())
        met, allowed = f"{bad[0]} targets and the features of {bad[1]} rows are no numbers", "All are finite"
        do = "Leave rows without a target out; `features_of` fills gaps in scores"
    elif len(targets) < FEWEST:
        met, allowed, do = f"{len(targets)} targets are given", f"It takes {FEWEST} to learn from", "Evaluate more"
    elif targets.min() == targets.max():
        met, allowed = f"all {len(targets)} targets are {targets[0]:g}", "Targets differ, or there is nothing to learn"
        do = "Evaluate other networks"
    if met:
        raise PredictionError(met, where="predictor", allowed=allowed, do=do)
    return table, targets, columns
