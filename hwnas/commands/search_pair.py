"""The search of a pair: one study over networks with their best cuts, and the plans that its front is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.accuracy import Accuracy
from hwnas.collaborate.choice import winner_of, with_front
from hwnas.collaborate.plan import Candidate, Plan, PlanAccuracy
from hwnas.collaborate.predict import Load, Worlds, predict
from hwnas.commands.edge_cloud_plans import plans_entries, write_plans_document
from hwnas.problem.fronts.estimates import errors_of
from hwnas.problem.pairs.cascades import JudgedCascades, judged_cascades
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.pairs.stored import pair_path
from hwnas.problem.plans.drafts import Promise
from hwnas.problem.studies import early_stopping_of, study_name, study_storage
from hwnas.problem.warm_start import initial_architectures
from hwnas.problem.workers import SearchJob, run_study, scorers_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.search.samplers import needs_guide
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, candidates_of
from hwnas.space import Architecture
from hwnas.words import brief
from hwnas.workspace.progress import Reporter

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained

PAIRS_UNWANTED = 0.0
"""Share of the networks, the least accurate, that a pair's search leaves out: none, as over a link the few that need no
cloud are far faster than all others, however little accurate they are."""


def search_pair(
    problem: PairProblem,
    proxy: Accuracy,
    store: ScoreStore,
    reporter: Reporter,
    trained: Trained | None,
    trials: int | None = None,
) -> None:
    """Search a pair and write the plans of its front; accuracies are shared with the tiers."""
    run, name = problem.run, problem.name
    config = run.experiment.search
    spec = pair_study(problem, proxy.producer)
    study = open_study(
        spec,
        study_storage(run, name),
        name=study_name(run, name),
        shared=config.is_shared,
        heartbeat_timeout_s=config.heartbeat_timeout_s,
    )
    scorers = scorers_of(run, name, proxy, problem.cost_models, reporter)
    job = SearchJob(run, name, study, scorers, {run.accuracy: proxy.producer}, store, trials or config.trials)
    run_study(job, proxy, reporter)
    evaluations = study.evaluations
    searched = PairFront(
        proxy.producer,
        tuple(evaluations),
        tuple(tier_front(evaluations, problem.tier)),
        errors_of(evaluations, run.accuracy, proxy, store),
    )
    plans = write_plans(problem, searched, judged_cascades(problem, evaluations, searched.points, trained))
    cascades = sum(plan.candidate.kind == "cascade" for plan in plans)
    told = f", {cascades:,} of them cascades" if cascades else ""
    reporter.info(f"{name}: {len(plans):,} plans{told} over {problem.link.name}, of {study.n_trials:,} networks")


@brief
@dataclass(frozen=True, eq=False)
class PairFront:
    """A pair after its study.

    Args:
        producer: of the accuracies.
        evaluations: of the study.
        points: the front of networks that answer alone or cut.
        errors: standard errors of accuracies, by key.
    """

    producer: str
    evaluations: tuple[Evaluation, ...]
    points: tuple[FrontPoint, ...]
    errors: Mapping[str, float]

    def networks(self, keys: Iterable[str]) -> dict[str, Architecture]:
        """Return evaluated networks by key, in the order of the keys."""
        known = {one.architecture.key: one.architecture for one in self.evaluations}
        return {key: known[key] for key in dict.fromkeys(keys)}

    def accuracies(self, metric: str) -> dict[str, dict[str, float | None]]:
        """Return accuracies of all networks with their standard errors, by key, ready for JSON."""
        scored = ((one.architecture.key, one.scores[metric]) for one in self.evaluations if metric in one.scores)
        return {key: {"value": value, "error": self.errors.get(key)} for key, value in scored}


def pair_study(problem: PairProblem, producer: str) -> StudySpec:
    """Return the study of a pair whose accuracies a producer makes."""
    run, sampler = problem.run, problem.run.experiment.sampler_of(problem.name)
    space, config = run.space, run.experiment.search
    guide = None
    if needs_guide(sampler):
        guide = Acquisition(candidates_of(run.codebook), [problem.request_ms], unwanted=PAIRS_UNWANTED)
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


def write_plans(problem: PairProblem, searched: PairFront, judged: JudgedCascades) -> list[Plan]:
    """Write the plans of a pair in the form of those of `hwnas plan`, and their page, and return them."""
    run, goal, accuracy = problem.run, problem.tier.quality.goal, problem.run.accuracy
    link, seed = problem.link, run.experiment.seed
    worlds, known = Worlds.drawn(link, seed), searched.accuracies(accuracy)
    candidates = list[Candidate]()
    for point in searched.points:
        key = point.architecture.key
        value = PlanAccuracy(point.scores[accuracy], searched.errors.get(key), run.source.origin)
        candidates.append(problem.candidate(point.architecture, judged.accuracies.get(key, value)))
    predicted = (predict(candidate, link, worlds, Load()) for candidate in (*candidates, *judged.cascades))
    plans = with_front([plan for plan in predicted if plan is not None], goal)
    promise = Promise()
    winner = winner_of(plans, promise.epsilon, goal)
    tiers: dict[str, str] = {"edge": problem.config.edge, "cloud": problem.config.cloud}
    setups = {side: costs.table.setup.as_dict() for side, costs in zip(tiers, problem.sides, strict=True)}
    keys = (key for plan in plans for key in (plan.candidate.edge, plan.candidate.cloud) if key is not None)
    networks = searched.networks(keys)
    document: dict[str, Any] = {
        "hwnas": __version__,
        "run": f"{run.experiment.name}, pair {problem.name}",
        "pair": problem.name,
        "found_under": {"accuracy": searched.producer, "requests": problem.digest},
        "minimized": problem.metric,
        "tiers": tiers,
        "setups": setups,
        "quality": {"name": run.space.task.quality.name, "goal": goal, "unit": run.space.task.quality.unit},
        "enumerated": len(searched.evaluations) + judged.judged,
        **plans_entries(plans, winner, link, Load(), promise.epsilon, seed, goal),
        "networks": {key: architecture.as_dict() for key, architecture in networks.items()},
        "searched": {key: known[key] for key in networks},
        "notes": list(judged.notes),
    }
    write_plans_document(pair_path(run, problem.name), document)
    return plans
