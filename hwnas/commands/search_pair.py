"""The search of a pair: one study over networks with their best cuts, and the plans that its front is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hwnas import __version__
from hwnas.accuracy import Accuracy
from hwnas.collaborate.choice import winner_of, with_front
from hwnas.collaborate.plan import Plan, PlanAccuracy
from hwnas.collaborate.predict import Load, Worlds, predict
from hwnas.commands.edge_cloud_plans import plans_entries, write_plans_document
from hwnas.problem.cost_models import CostModels
from hwnas.problem.fronts.estimates import errors_of
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.pairs.stored import pair_path
from hwnas.problem.plans.drafts import Promise
from hwnas.problem.studies import early_stopping_of, study_name, study_storage
from hwnas.problem.warm_start import initial_architectures
from hwnas.problem.workers import SearchJob, run_study, scorers_of
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.search.samplers import needs_guide
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, candidates_of
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace


def search_pair(
    run: Workspace,
    name: str,
    proxy: Accuracy,
    cost_models: Mapping[str, CostModels],
    store: ScoreStore,
    reporter: Reporter,
    trials: int | None = None,
) -> None:
    """Search a pair and write the plans of its front; accuracies are shared with the tiers."""
    problem, config = PairProblem(run, name, cost_models), run.experiment.search
    spec = pair_study(problem, proxy.producer)
    study = open_study(
        spec,
        study_storage(run, name),
        name=study_name(run, name),
        shared=config.is_shared,
        heartbeat_timeout_s=config.heartbeat_timeout_s,
    )
    scorers = scorers_of(run, name, proxy, cost_models, reporter)
    job = SearchJob(run, name, study, scorers, {run.accuracy: proxy.producer}, store, trials or config.trials)
    run_study(job, proxy, reporter)
    errors = errors_of(study.evaluations, run.accuracy, proxy, store)
    front = tier_front(study.evaluations, problem.tier)
    write_plans(problem, front, errors, producer=proxy.producer, trials=len(study.evaluations))
    reporter.info(f"{name}: {len(front):,} plans over {problem.link.name}, of {study.n_trials:,} networks")


def pair_study(problem: PairProblem, producer: str) -> StudySpec:
    """Return the study of a pair whose accuracies a producer makes."""
    run, sampler = problem.run, problem.run.experiment.sampler_of(problem.name)
    space, config = run.space, run.experiment.search
    guide = Acquisition(candidates_of(run.codebook), [problem.request_ms]) if needs_guide(sampler) else None
    return StudySpec(
        space,
        problem.tier,
        sampler,
        config.population,
        run.experiment.seed,
        {run.accuracy: producer, problem.metric: problem.digest},
        first=tuple(dict.fromkeys([space.smallest(), space.largest(), *initial_architectures(run)])),
        guide=guide,
        rules=early_stopping_of(run),
    )


def write_plans(
    problem: PairProblem, front: Sequence[FrontPoint], errors: Mapping[str, float], *, producer: str, trials: int
) -> None:
    """Write the plans of a pair's front in the form of those of `hwnas plan`, and their page."""
    run, goal, accuracy = problem.run, problem.tier.quality.goal, problem.run.accuracy
    link, seed = problem.link, run.experiment.seed
    worlds = Worlds.drawn(link, seed)
    plans = list[Plan]()
    for point in front:
        key = point.architecture.key
        value = PlanAccuracy(point.scores[accuracy], errors.get(key), run.source.origin)
        plan = predict(problem.candidate(point.architecture, value), link, worlds, Load())
        plans += [] if plan is None else [plan]
    plans = with_front(plans, goal)
    promise = Promise()
    winner = winner_of(plans, promise.epsilon, goal)
    tiers: dict[str, str] = {"edge": problem.config.edge, "cloud": problem.config.cloud}
    tables = {side: problem.cost_models[run.experiment.tiers[tier].setup].table for side, tier in tiers.items()}
    document: dict[str, Any] = {
        "hwnas": __version__,
        "run": f"{run.experiment.name}, pair {problem.name}",
        "pair": problem.name,
        "found_under": {"accuracy": producer, "requests": problem.digest},
        "minimized": problem.metric,
        "tiers": tiers,
        "setups": {side: table.setup.as_dict() for side, table in tables.items()},
        "quality": {"name": run.space.task.quality.name, "goal": goal, "unit": run.space.task.quality.unit},
        "enumerated": trials,
        **plans_entries(plans, winner, link, Load(), promise.epsilon, seed, goal),
        "networks": {point.architecture.key: point.architecture.as_dict() for point in front},
        "notes": [],
    }
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    write_plans_document(pair_path(run, problem.name), document, created_at)
