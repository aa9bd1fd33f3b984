"""The rivals of guided in `nb201_search.py`: each a function (table, evaluations, seed) -> rows in their order.

No sampler evaluates an architecture twice: what it proposes again costs nothing and counts nothing. So it is with
architectures that have no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import moocore
import numpy as np
from nb201_table import Table
from numpy.typing import NDArray

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums
from hwnas.errors import ConfigError
from hwnas.pareto import Objective, best
from hwnas.registry import optional
from hwnas.search.study import Study, open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture

POPULATION = 20
DRAWN, KEPT = 200, 10
"""Of a start with untrained networks: how many are scored, how many are tried. The usual numbers of an experiment."""
First = Callable[[Table, int], tuple[Architecture, ...]]
Sampler = Callable[[Table, int, int], list[int]]


def nothing_first(table: Table, seed: int) -> tuple[Architecture, ...]:
    """A search that begins as its sampler likes."""
    return ()


def untrained_first(table: Table, seed: int) -> tuple[Architecture, ...]:
    """The best of random networks by the default ensemble of training-free scores and by cost.

    As `search.zero_cost_init` finds them.

    Raises:
        ConfigError: a member of the ensemble is not among the scores.
    """
    if lacking := {member.name for member in ENSEMBLES["ensemble"].members} - table.scores.keys():
        raise ConfigError(
            f"there are no scores of {', '.join(sorted(lacking))}",
            where="--scores",
            allowed="The columns of the default ensemble, one number for each architecture",
            do="Name a file with these columns, or leave out the samplers that begin with untrained networks",
        )
    rng = np.random.default_rng(seed)
    priced = np.flatnonzero(np.isfinite(table.cost))
    drawn = rng.choice(priced, size=min(DRAWN, len(priced)), replace=False)
    ensemble = ENSEMBLES["ensemble"]
    summed = rank_sums(ensemble, [table.scores[member.name][drawn].tolist() for member in ensemble.members])
    known = [(int(row), score) for row, score in zip(drawn, summed, strict=True) if score is not None]
    told = [{"score": score, "cost": float(table.cost[row])} for row, score in known]
    kept = best(told, (Objective("score", "max"), Objective("cost", "min")), KEPT)
    return tuple(table.architecture(known[place][0]) for place in kept)


def studied(name: str, first: First = nothing_first) -> Sampler:
    """One of hwnas's own names for Optuna's samplers, in a study of hwnas: known architectures are passed over."""

    def search(table: Table, evaluations: int, seed: int) -> list[int]:
        study = open_study(StudySpec(table.space, table.tier, name, POPULATION, seed, first=first(table, seed)))
        return measured_by(study, table, evaluations)

    return search


def measured_by(study: Study, table: Table, evaluations: int) -> list[int]:
    """The rows that a study evaluates; it goes on for those that have no number."""
    while True:
        rows = [table.row(evaluation.architecture) for evaluation in study.evaluations if not evaluation.failed]
        if len(rows) >= evaluations or study.ended:
            return rows
        study.run(table.evaluate, study.n_trials + evaluations - len(rows))


def pymoo_nsga2(table: Table, evaluations: int, seed: int) -> list[int]:
    """pymoo's NSGA-II with its operators for variables that are a choice: uniform crossover, redrawn genes."""
    optional("pymoo", extra="bench", why="the sampler `pymoo`")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import Problem
    from pymoo.core.variable import Choice

    duplicates = MixedVariableDuplicateElimination()
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=duplicates),
        eliminate_duplicates=duplicates,
    )
    known = table.measured
    cost, error = (np.where(known, values, values[known].max()) for values in (table.cost, -table.accuracy))
    problem = Problem(n_obj=2, vars={slot: Choice(options=range(len(table.words))) for slot in table.slots})
    algorithm.setup(problem, termination=("n_gen", 1_000_000), seed=seed, verbose=False)
    found: dict[int, None] = {}
    for _ in range(50 * evaluations):  # a population that has converged proposes what is known
        if len(found) >= evaluations:
            break
        asked = algorithm.ask()
        codes = np.array([[genes[slot] for slot in table.slots] for genes in asked.get("X")], dtype=np.intp)
        rows = [table.row_of[row.tobytes()] for row in codes]
        asked.set("F", np.stack([cost[rows], error[rows]], axis=1))
        with np.errstate(invalid="ignore"):  # its crowding distance subtracts infinities
            algorithm.evaluator.eval(problem, asked, skip_already_evaluated=True)
            algorithm.tell(infills=asked)
        found.update(dict.fromkeys(row for row in rows if known[row]))
    return list(found)[:evaluations]


def forest(table: Table, evaluations: int, seed: int, first: int = 20, batch: int = 10) -> list[int]:
    """A random forest predicts accuracy from the one-hot of places; cost is known. The hopeful front is evaluated.

    Hopeful is the mean over trees and one standard deviation. Of what is not evaluated yet, a batch takes what adds
    most hypervolume if that is true, one after another.
    """
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(seed)
    known = np.flatnonzero(table.measured)
    codes, accuracy, cost = table.codes[known], table.accuracy[known], table.cost[known]
    one_hot = (codes[:, :, None] == np.arange(len(table.words))).reshape(len(codes), -1).astype(float)
    rows = [int(row) for row in rng.permutation(len(codes))[: min(first, evaluations)]]
    while len(rows) < evaluations:
        model = RandomForestRegressor(100, random_state=int(rng.integers(2**31)))
        model.fit(one_hot[rows], accuracy[rows])
        trees = np.stack([tree.predict(one_hot) for tree in model.estimators_])
        predicted = -trees.mean(axis=0) - trees.std(axis=0)
        predicted[rows] = -accuracy[rows]
        rows += _promising(predicted, cost, rows, min(batch, evaluations - len(rows)), rng)
    return [int(row) for row in known[rows]]


def _promising(
    error: NDArray[np.float64], cost: NDArray[np.float64], known: list[int], count: int, rng: np.random.Generator
) -> list[int]:
    """The rows that would add most to the front of the known ones, then of what stands behind it."""
    worst = float(np.percentile(error[known], 90))
    scaled = np.stack([(cost - cost.min()) / np.ptp(cost), (error - error.min()) / (worst - error.min() or 1)], axis=1)
    chosen: list[int] = []
    while len(chosen) < count:
        taken = np.array(known + chosen)
        free = np.setdiff1d(np.arange(len(cost)), taken)
        if not len(free):
            break
        ahead = free[moocore.is_nondominated(scaled[free])]
        have = moocore.hypervolume(scaled[taken], ref=[1, 1])
        gains = [moocore.hypervolume(scaled[[*taken, row]], ref=[1, 1]) - have for row in ahead]
        best = int(ahead[int(np.argmax(gains))]) if max(gains) > 0 else int(rng.choice(ahead))
        chosen.append(best)
    return chosen


RIVALS: Mapping[str, Sampler] = {
    "random": studied("random"),
    "nsga2": studied("nsga2"),
    "nsga2_start": studied("nsga2", untrained_first),
    "nsga3": studied("nsga3"),
    "tpe": studied("tpe"),
    "gp": studied("gp"),
    "pymoo": pymoo_nsga2,
    "forest": forest,
}
