"""scikit-learn's models, each fitted several times without a part of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hwnas.predictors.model import Floats, Integers

FOLDS = 5
TREES = 100


@final
@dataclass(frozen=True, eq=False)
class Ensemble:
    """The mean of members, each fitted without one fold of the rows, which gives its error."""

    members: tuple[Any, ...]
    held_out: tuple[Floats, Floats]

    @classmethod
    def fit(cls, make: Callable[[int], Any], X: Floats, z: Floats, seed: int) -> Ensemble:
        """Fit what `make(seed)` returns."""
        order = np.random.default_rng(seed).permutation(len(z))
        members, means = [], np.empty(len(z))
        for number, fold in enumerate(np.array_split(order, min(FOLDS, len(z)))):
            kept = np.setdiff1d(order, fold)
            members.append(make(seed + number).fit(X[kept], z[kept]))
            means[fold] = members[-1].predict(X[fold])
        error = np.full(len(z), np.sqrt(np.mean((z - means) ** 2)))
        return cls(tuple(members), (means, error))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Means of the members, and their spread beside the error on what was held out."""
        predictions = np.stack([member.predict(X) for member in self.members])
        return predictions.mean(axis=0), np.hypot(predictions.std(axis=0), self.held_out[1][0])


def ridge(X: Floats, z: Floats, groups: Integers, seed: int) -> Ensemble:
    """Linear in the columns, the penalty chosen by leaving one row out."""
    from sklearn.linear_model import RidgeCV

    return Ensemble.fit(lambda _: RidgeCV(np.geomspace(1e-1, 1e5, 13)), X, z, seed)


def forest(X: Floats, z: Floats, groups: Integers, seed: int) -> Ensemble:
    """A random forest (Breiman 2001)."""
    from sklearn.ensemble import RandomForestRegressor

    return Ensemble.fit(lambda s: RandomForestRegressor(TREES, max_features=0.4, random_state=s), X, z, seed)


def extra_trees(X: Floats, z: Floats, groups: Integers, seed: int) -> Ensemble:
    """Extremely randomised trees (Geurts et al. 2006)."""
    from sklearn.ensemble import ExtraTreesRegressor

    return Ensemble.fit(lambda s: ExtraTreesRegressor(TREES, max_features=0.4, random_state=s), X, z, seed)


def boosting(X: Floats, z: Floats, groups: Integers, seed: int) -> Ensemble:
    """Gradient boosting on small trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def make(number: int) -> Any:
        return HistGradientBoostingRegressor(
            max_iter=150,
            learning_rate=0.07,
            max_leaf_nodes=6,
            min_samples_leaf=4,
            max_features=0.3,
            early_stopping=False,
            random_state=number,
        )

    return Ensemble.fit(make, X, z, seed)
