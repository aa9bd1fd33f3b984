"""Importance of choices: by how much a prediction becomes worse when one choice is drawn anew, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.predictors.ensembles import FOLDS
from hwnas.predictors.model import Floats, Integers
from hwnas.space import Architecture, Choice
from hwnas.words import brief

FEWEST_TRIED, MOST_TRIED = 30, 600
"""Networks from which importances are computed, and the most that are used of a longer history."""
FOREST_TREES, SHUFFLES = 60, 4


@dataclass(frozen=True)
class Importance:
    """Importance of one choice for a target, each number with its standard error over folds."""

    choice: str
    options: tuple[str, str]
    """The first and the last."""
    share: float
    """Half the rise of the squared error when the choice is shuffled, in parts of the target's variance."""
    share_error: float
    change: float
    """Mean predicted change of the target from the first option to the last one, in its unit."""
    change_error: float


@brief
@dataclass(frozen=True)
class Importances:
    """Importances of all choices for one target, the largest first."""

    explained: float
    """Part of the variance that is predicted on networks that were held out; 0 or less: nothing can be told."""
    networks: int
    choices: tuple[Importance, ...]

    def rows(self, metric: str) -> list[dict[str, Any]]:
        """Return a row for each choice; `metric`, with its unit, names the target."""
        return [
            {
                "choice": one.choice,
                "target": metric,
                "share of variance": one.share,
                "standard error": one.share_error,
                "origin": "predicted",
                "from": one.options[0],
                "to": one.options[1],
                f"change of {metric}": one.change,
                f"change of {metric} error": one.change_error,
            }
            for one in self.choices
        ]


def importances(
    choices: Sequence[Choice], architectures: Sequence[Architecture], targets: Sequence[float], *, seed: int = 0
) -> Importances | None:
    """Return the importances of choices for a target; None for fewer networks than `FEWEST_TRIED` or equal targets.

    Random forests learn the target from four fifths of the networks. On the last fifth, which changes, each choice in
    turn is shuffled: the error rises by what the choice tells. A choice that is not active has a random option, as in
    the genome of a search, so that every shuffled genome is one of the space.
    """
    rng = np.random.default_rng(seed)
    known = rng.permutation(len(architectures))[:MOST_TRIED]
    y = np.asarray(targets, dtype=np.float64)[known]
    if len(known) < FEWEST_TRIED or not choices or np.ptp(y) == 0:
        return None
    X = _genomes(choices, [architectures[index] for index in known], rng)
    folds = np.array_split(np.arange(len(y)), FOLDS)
    sizes = [len(choice.options) for choice in choices]
    errors, rises, changes = map(np.stack, zip(*(_fold(X, y, fold, sizes, rng) for fold in folds), strict=True))
    rises = rises / (2 * y.var())  # two networks that are drawn alike differ by twice the variance
    made = [
        Importance(
            choice.name,
            (str(choice.options[0]), str(choice.options[-1])),
            *_mean_and_error(rises[:, column]),
            *_mean_and_error(changes[:, column]),
        )
        for column, choice in enumerate(choices)
    ]
    made.sort(key=lambda one: (-one.share, one.choice))
    return Importances(float(1 - errors.mean() / y.var()), len(y), tuple(made))


def _genomes(choices: Sequence[Choice], architectures: Sequence[Architecture], rng: np.random.Generator) -> Integers:
    """(networks, choices) the place of each option, drawn where a choice is not active."""
    X = np.column_stack([rng.integers(len(choice.options), size=len(architectures)) for choice in choices])
    index_of = [{option: index for index, option in enumerate(choice.options)} for choice in choices]
    column = {choice.name: index for index, choice in enumerate(choices)}
    for row, architecture in enumerate(architectures):
        for name, value in architecture.picks:
            if name in column and (index := index_of[column[name]].get(value)) is not None:
                X[row, column[name]] = index
    return X.astype(np.intp)


def _fold(
    X: Integers, y: Floats, fold: Integers, sizes: Sequence[int], rng: np.random.Generator
) -> tuple[float, Floats, Floats]:
    """Error on a fold that was held out; by choice, its rise when that is shuffled, and the change across options."""
    from sklearn.ensemble import ExtraTreesRegressor

    kept = np.setdiff1d(np.arange(len(y)), fold)
    forest = ExtraTreesRegressor(
        FOREST_TREES, max_features=0.6, min_samples_leaf=2, random_state=int(rng.integers(2**31))
    )
    forest.fit(X[kept], y[kept])
    rows, count = X[fold], len(fold)
    tables = [rows]
    for column, size in enumerate(sizes):
        shuffled = [rng.permutation(rows[:, column]) for _ in range(SHUFFLES)]
        for values in (*shuffled, np.full(count, 0), np.full(count, size - 1)):
            changed = rows.copy()
            changed[:, column] = values
            tables.append(changed)
    predicted = forest.predict(np.concatenate(tables)).reshape(-1, count)
    squared = ((predicted - y[fold]) ** 2).mean(axis=1)
    by_choice = predicted[1:].reshape(len(sizes), SHUFFLES + 2, count)
    rises = squared[1:].reshape(len(sizes), -1)[:, :SHUFFLES].mean(axis=1) - squared[0]
    return float(squared[0]), rises, (by_choice[:, -1] - by_choice[:, -2]).mean(axis=1)


def _mean_and_error(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
