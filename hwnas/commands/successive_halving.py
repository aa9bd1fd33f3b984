"""Successive halving: a population on a cheap score, the best of it on dearer ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.accuracy import Accuracy, source_of
from hwnas.commands.search import front_points
from hwnas.config import RungConfig
from hwnas.problem.accuracy import accuracy_context, make_accuracy
from hwnas.problem.cost_models import CostModels, feasible_scores, load_cost_models
from hwnas.problem.feasibility import check_limits
from hwnas.problem.fronts.conditions import conditions_of, write_conditions
from hwnas.problem.fronts.estimates import errors_of
from hwnas.problem.fronts.remeasure import remeasure_front
from hwnas.problem.workers import cost_scorers
from hwnas.search.fronts import read_front
from hwnas.search.score_store import ScoreStore
from hwnas.search.successive_halving import Rung, sample_initial, successive_halving, tier_for_rung
from hwnas.space import Architecture
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.results.halving_results import (
    HALVING_FOLDER,
    WHERE,
    HalvingResult,
    check_halving,
    halving_front_path,
    objective_of,
    passed_by,
    save_halving_result,
)
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


def halving(
    reference: str | Path, *, runs: Path = Path("runs"), reporter: Reporter | None = None
) -> list[HalvingResult]:
    """Run successive halving for each tier and time its front.

    The population is the front that a search found, if there is one, the smallest and the largest network, and random
    ones, all within the limits on what costs nothing to know. Scores are kept one by one: the same command continues.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        For each tier, its rungs with the networks that were promoted, and the front.

    Raises:
        ConfigError: the experiment names no rungs, or a rung names a score that is not there.
        RunError: a rung needs a supernet that was not trained.

    Example:
        >>> from hwnas import pipeline
        >>> [len(result.rungs) for result in pipeline.halving("mini.yaml")]
        [2]
    """
    run, reporter = open_run(reference, runs=runs, before=check_halving), default_reporter(reporter)
    with locked(run), adding_elapsed(run.paths.elapsed, HALVING_FOLDER):
        cost_models = load_cost_models(run)
        check_limits(run, cost_models)
        trained = supernet_of(run, reporter)
        rungs = run.experiment.search.successive_halving
        scores = [_score(run, trained, rung, keep=rung is rungs[-1]) for rung in rungs]
        store = ScoreStore.open(run.paths.scores)
        for notice in store.notices:
            reporter.info(notice)
        return [_result_of(run, name, scores, cost_models, store, reporter) for name in run.experiment.tiers]


def _score(run: Workspace, trained: Trained | None, rung: RungConfig, *, keep: bool) -> tuple[RungConfig, Accuracy]:
    """Return a rung with its accuracy. Weights that the last rung trains are kept, since they are exported."""
    ingredients = accuracy_context(run, trained)
    settings = ingredients.settings
    settings = replace(settings, source=rung.score, epochs=rung.epochs or settings.epochs)
    source = source_of(rung.score, where=WHERE)
    return rung, make_accuracy(source, replace(ingredients, settings=settings, keep_weights=keep))


def _result_of(
    run: Workspace,
    name: str,
    scores: Sequence[tuple[RungConfig, Accuracy]],
    cost_models: Mapping[str, CostModels],
    store: ScoreStore,
    reporter: Reporter,
) -> HalvingResult:
    conditions = conditions_of(run, name, scores[-1][0], producer=scores[-1][1].producer)
    rungs = [
        Rung(objective_of(rung.score, run.space.task), rung.networks, accuracy, accuracy.producer)
        for rung, accuracy in scores
    ]
    population = _population(run, name, rungs[0].networks, cost_models)
    before = [0, *(rung.networks for rung in rungs)]
    with reporter.bar(f"successive halving of {name}") as bar:

        def show(number: int, done: int, of: int) -> None:
            bar.update(sum(before[: number + 1]) + done, sum(before), f"{rungs[number].metric}: {done} of {of}")

        results = successive_halving(
            population, rungs, run.objectives.tier(name), cost_scorers(run, name, cost_models, reporter), store, show
        )
        bar.update(sum(before), sum(before), "done")
    (rung, accuracy), last = scores[-1], results[-1]
    origin = source_of(rung.score, where=WHERE).origin
    errors = errors_of(last.evaluations, last.metric, accuracy, store)
    front = front_points(run, name, last.tier, last.evaluations, cost_models, origin, errors)
    front = remeasure_front(
        run, front, tier_for_rung(run.objectives.tier(name, measured=True), last.tier.quality), reporter
    )
    named, metrics = tuple(rung.score for rung, _ in scores), tuple(run.space.task.metrics)
    result = HalvingResult(name, named, tuple(results), tuple(front), metrics)
    result = replace(result, front=passed_by(result, front))
    save_halving_result(run, result)
    write_conditions(halving_front_path(run, name), conditions)
    return result


def _population(run: Workspace, name: str, count: int, cost_models: Mapping[str, CostModels]) -> list[Architecture]:
    """Return networks within the limits on scores that cost nothing; those on the front of a search come first."""
    known = feasible_scores(run, name, cost_models)
    front = read_front(run.paths.front(name)) if run.paths.front(name).exists() else []
    return sample_initial(
        run.space,
        count,
        run.experiment.seed,
        lambda architecture: known(architecture) is not None,
        first=[*(point.architecture for point in front), run.space.smallest(), run.space.largest()],
    )
