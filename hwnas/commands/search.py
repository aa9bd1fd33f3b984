"""Searching the tiers of a run, and timing their fronts again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.accuracy import Accuracy
from hwnas.accuracy.by_precision import all_producers, base_producer, producers_of
from hwnas.commands.search_pair import search_pair
from hwnas.errors import EmptyFront, HostAway
from hwnas.io.locks import RunLock
from hwnas.pareto import Limit, Tier
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.cost_models import CostModels, load_cost_models, notices
from hwnas.problem.feasibility import check_limits
from hwnas.problem.fronts.conditions import Conditions, conditions_of, write_conditions
from hwnas.problem.fronts.estimates import errors_of, estimated_front
from hwnas.problem.fronts.loading import LoadedFront, finder_of, load_front, solved_again
from hwnas.problem.fronts.origins import origin_of_latency, origins_of
from hwnas.problem.fronts.remeasure import remeasure_front
from hwnas.problem.live import raise_if_paused
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.population_costs import make_surrogate_spec
from hwnas.problem.precision.tier import candidates_in, search_space, tier_accuracy, with_paired_counts
from hwnas.problem.studies import early_stopping_of, study_evaluations, study_name, study_storage, weights_producer
from hwnas.problem.warm_start import (
    exact_candidates,
    import_scores,
    initial_architectures,
    zero_cost_candidates,
)
from hwnas.problem.workers import SearchJob, run_study, scorers_of
from hwnas.rows import frame
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, front_rows, write_front
from hwnas.search.nearest import nearest
from hwnas.search.precision import candidate_label
from hwnas.search.progress import Finished
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study, open_study
from hwnas.search.study_spec import StudySpec
from hwnas.words import brief
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.training.search_logs import log_front
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from pandas import DataFrame

    from hwnas.workspace.training.supernets import Trained


@brief
@dataclass(frozen=True)
class TierSearch:
    """A tier after its search."""

    tier: Tier
    finished: Finished
    evaluations: tuple[Evaluation, ...]
    front: tuple[FrontPoint, ...]
    paused: HostAway | None = None
    """Reason why the search waits for its device, if it does."""
    conditions: Conditions | None = None
    """Conditions of the search."""
    loaded: LoadedFront | None = None
    """The front as it is read from the run's folder, if it was."""
    measured_limits: tuple[Limit, ...] = ()
    """The tier's limits once the front was timed again: a quantile's is then on the latency itself."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The front, a row for each network."""
        return [{"tier": self.tier.name, **row} for row in front_rows(self.front)]

    def frame(self) -> DataFrame:
        """Return the front as a pandas frame."""
        return frame(self.rows)

    @property
    def is_empty(self) -> bool:
        """Return whether no network is left on the front."""
        return not any(point.kept is not False for point in self.front)


def search(
    reference: str | Path, *, runs: Path = Path("runs"), trials: int | None = None, reporter: Reporter | None = None
) -> list[TierSearch]:
    """Search all tiers of an experiment whose tables and supernet are there; started again, it continues.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        trials: number of trials of each search, in place of the experiment's.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The tiers after their searches: evaluations, and the front with scores in the metrics' units.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: the supernet was not trained yet, or another process works in the folder.
        TableError: a table lacks rows.
        HostAway: a device cannot be reached; the same call continues later.

    Example:
        >>> from hwnas import pipeline
        >>> [tier.finished.trials for tier in pipeline.search("mini.yaml")]
        [4]
    """
    from hwnas.workspace.training.supernets import supernet_of

    run, reporter = open_run(reference, runs=runs), default_reporter(reporter)
    lock = RunLock(run.folder, shared=run.experiment.search.is_shared)
    with locked(run, lock):
        cost_models = load_cost_models(run)
        check_limits(run, cost_models)
        searched = search_run(run, supernet_of(run, reporter), cost_models, reporter, trials=trials, alone=lock.alone)
    raise_if_paused((tier.tier.name, tier.paused) for tier in searched if tier.paused)
    return searched


def load_searches(run: Workspace, trained: Trained | None) -> list[TierSearch]:
    """Return the tiers of a run that were searched, as its folder holds them; nothing is written.

    Raises:
        RunError: a front is missing or damaged, or of other accuracies than the experiment asks for.
    """
    searched, producer = [], weights_producer(run, trained)
    for name in run.experiment.tiers:
        if finder_of(run, name) == "halving":
            continue  # successive halving was run, and nothing searched
        front, evaluations = load_front(run, name, "search", producer=producer), tuple[Evaluation, ...]()
        if not front.solved_for and front.conditions is not None:
            evaluations = study_evaluations(run, name, front.conditions.study)
            if not evaluations:
                front = solved_again(run, front, f"its study `{front.conditions.study}` is gone")
        evaluations = evaluations or front.evaluations
        stopped = "" if front.solved_for else early_stopping_of(run).reached(evaluations, front.tier)
        finished = Finished(len(evaluations), sum(e.failed is not None for e in evaluations), stopped)
        searched.append(TierSearch(front.tier, finished, evaluations, front.points, None, front.conditions, front))
    return searched


def search_run(
    run: Workspace,
    trained: Trained | None,
    cost_models: Mapping[str, CostModels],
    reporter: Reporter,
    *,
    trials: int | None = None,
    alone: Callable[[], None] = lambda: None,
) -> list[TierSearch]:
    """Search every tier and pair, time the tiers' fronts again and write all; accuracies are shared between them.

    `alone` returns when no other process searches the folder any more: fronts are timed by one at a time.
    """
    proxy = accuracy_of(run, trained)
    accuracies = {name: tier_accuracy(run, name, trained, proxy) for name in run.experiment.tiers}
    for notice in notices(run, cost_models):
        reporter.info(notice)
    with adding_elapsed(run.paths.elapsed, "search"):
        store = ScoreStore.open(run.paths.scores, shared=run.experiment.search.is_shared)
        for notice in store.notices:
            reporter.info(notice)
        producers = {producer for one in accuracies.values() for producer in all_producers(one)} | {proxy.producer}
        if taken := sum(import_scores(run, store, producer) for producer in sorted(producers)):
            reporter.info(f"{taken:,} accuracies are taken over from earlier runs")
        searched = [
            _search_tier(run, name, accuracy, cost_models, store, reporter, trials)
            for name, accuracy in accuracies.items()
        ]
        for name in run.experiment.pairs:
            search_pair(PairProblem(run, name, cost_models), proxy, store, reporter, trained, trials)
    alone()
    with adding_elapsed(run.paths.elapsed, "timing the fronts"):
        timed = [_timed_again(run, tier, reporter) for tier in searched]
    for tier in timed:
        if tier.is_empty:
            reporter.info(f"{tier.tier.name}: {explain_empty_front(tier)}")
    return timed


def explain_empty_front(searched: TierSearch) -> str:
    """Return a sentence on an empty front: why it is, and which network came nearest to its limits."""
    if searched.front:
        tier = replace(searched.tier, limits=searched.measured_limits)
        best = nearest(((p.name, p.final) for p in searched.front), tier)
        return f"none of {len(searched.front)} networks holds the limits with what was measured; {best}"
    tried, failed = len(searched.evaluations), searched.finished.failed
    broken = Counter(limit for evaluation in searched.evaluations for limit in evaluation.broken)
    limits = ", ".join(f"{limit} by {count}" for limit, count in broken.most_common())
    broken_limits = f"; limits were broken: {limits}" if limits else ""
    reasons = Counter(e.failed for e in searched.evaluations if e.failed is not None).most_common(1)
    why = f" ({reasons[0][1]} times {reasons[0][0]})" if reasons else ""
    scored = [(candidate_label(e.architecture), e.scores) for e in searched.evaluations if e.failed is None]
    near = f"; {one}" if (one := nearest(scored, searched.tier)) is not None and limits else ""
    return f"none of {tried} networks stands on the front, {failed} could not be scored{why}{broken_limits}{near}"


def refuse_empty_fronts(searched: Iterable[TierSearch]) -> None:
    """Raise EmptyFront if no network is left for a tier, once everything else is done.

    Raises:
        EmptyFront: there is one.
    """
    empty = [tier for tier in searched if tier.is_empty and tier.paused is None]
    if empty:
        raise EmptyFront(
            "; ".join(f"tier `{tier.tier.name}`: {explain_empty_front(tier)}" for tier in empty),
            where="search",
            allowed="A front holds networks within all limits of its tier",
            do="Loosen a limit, search with more trials, or widen the space; `hwnas feasible` tells what limits leave",
        )


def _search_tier(
    run: Workspace,
    name: str,
    proxy: Accuracy,
    cost_models: Mapping[str, CostModels],
    store: ScoreStore,
    reporter: Reporter,
    trials: int | None,
) -> TierSearch:
    tier, config = run.objectives.tier(name), run.experiment.search
    study = _open_study(run, name, proxy, cost_models, store, reporter)
    kept_as = f"{study_name(run, name)}-{study.plan.digest}"
    conditions = conditions_of(run, name, producer=base_producer(proxy), study=kept_as)
    scorers = scorers_of(run, name, proxy, cost_models, reporter)
    job = SearchJob(run, name, study, scorers, {run.accuracy: producers_of(proxy)}, store, trials or config.trials)
    finished, paused = run_study(job, proxy, reporter)
    evaluations = study.evaluations
    errors = errors_of(evaluations, tier.quality.metric, proxy, store)
    front = front_points(run, name, tier, evaluations, cost_models, run.source.origin, errors)
    front = with_paired_counts(front, tier, proxy, store)
    if paused is None:
        from hwnas.problem.precision.mixed import with_mixed

        front = with_mixed(run, tier, front, proxy, cost_models, reporter)
    return TierSearch(tier, finished, evaluations, tuple(front), paused, conditions)


def front_points(
    run: Workspace,
    name: str,
    tier: Tier,
    evaluations: Sequence[Evaluation],
    cost_models: Mapping[str, CostModels],
    accuracy_origin: str,
    errors: Mapping[str, float],
) -> list[FrontPoint]:
    """Return the tier's front, each score with its origin, accuracies with their standard errors and estimates."""
    latency = run.objectives.latency(name)
    return [
        replace(point, origin={**point.origin, latency: origin_of_latency(run, name, cost_models, point)})
        for point in estimated_front(run, tier, evaluations, errors, origins_of(run, tier, accuracy_origin))
    ]


def _open_study(
    run: Workspace,
    name: str,
    proxy: Accuracy,
    cost_models: Mapping[str, CostModels],
    store: ScoreStore,
    reporter: Reporter,
) -> Study:
    tier, config, space = run.objectives.tier(name), run.experiment.search, search_space(run, name)
    produced = _producer(run, name, cost_models)
    plan = StudySpec(
        space,
        tier,
        run.experiment.sampler_of(name),
        config.population,
        run.experiment.seed,
        {run.accuracy: proxy.producer, run.objectives.latency(name): produced},
        first=candidates_in(
            space,
            dict.fromkeys(
                [
                    run.space.smallest(),
                    run.space.largest(),
                    *initial_architectures(run),
                    *exact_candidates(run, name, proxy, cost_models),
                    *zero_cost_candidates(run, name, cost_models, store, reporter),
                ]
            ),
        ),
        guide=make_surrogate_spec(run, name, cost_models),
        rules=early_stopping_of(run),
    )
    shared, kept_as = config.is_shared, study_name(run, name)
    return open_study(
        plan, study_storage(run, name), name=kept_as, shared=shared, heartbeat_timeout_s=config.heartbeat_timeout_s
    )


def _producer(run: Workspace, tier: str, cost_models: Mapping[str, CostModels]) -> str:
    """Return the producer of a tier's latencies."""
    if run.objectives.is_published(tier):
        return run.published.latencies(run.experiment.tiers[tier].setup).producer
    if run.objectives.is_live(tier):
        return "live"
    setups = run.experiment.setups_of(tier)
    listed = run.experiment.tiers[tier].precision is not None
    return " ".join(f"{one}={cost_models[s].digest}" if listed else cost_models[s].digest for one, s in setups.items())


def _timed_again(run: Workspace, searched: TierSearch, reporter: Reporter) -> TierSearch:
    """Return the tier with its front timed again and written to disk."""
    name = searched.tier.name
    front = remeasure_front(run, searched.front, run.objectives.tier(name, measured=True), reporter)
    path = run.paths.front(name)
    write_front(path, path.with_suffix(".csv"), front)
    log_front(run, name)
    if searched.conditions is not None:
        write_conditions(path, searched.conditions)
    return replace(searched, front=tuple(front), measured_limits=run.objectives.tier(name, measured=True).limits)
