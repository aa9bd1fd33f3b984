"""Fronts as they are shown: of a run's folder, or just solved for. They need no supernet and no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwnas.accuracy import AccuracySource
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, check_front_exists, load_front
from hwnas.problem.pairs.stored import stored_pairs
from hwnas.report import facts
from hwnas.report.facts import Origin
from hwnas.search.fronts import FrontPoint
from hwnas.selection import choose
from hwnas.tasks import Task
from hwnas.workspace.results.bundles import open_bundle
from hwnas.workspace.workspace import Workspace, check_picks, open_run

if TYPE_CHECKING:
    from hwnas.commands.resolve import ResolvedFront


def fronts(
    reference: str | Path, *, runs: Path = Path("runs"), pick: str | None = None, front: FrontSource | None = None
) -> list[facts.TierFacts]:
    """Return the fronts of a run as its folder holds them.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        pick: a rule of `hwnas.selection`: only what it takes of each front, with what was measured.
        front: `search` or `halving`; if left out, that of successive halving only where nothing was searched.

    Returns:
        For each tier, its points with scores, in the metrics' units.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: there is no such front yet.

    Example:
        >>> from hwnas import pipeline
        >>> [(tier.name, len(tier.front)) for tier in pipeline.fronts("mini.yaml", pick="best")]
        [('cloud', 1)]
    """

    def check(run: Workspace) -> None:
        check_front_exists(run, front)
        check_picks(run, [] if pick is None else [pick], where="--pick")

    run, shown = open_run(reference, runs=runs, before=check), []
    for name in run.experiment.tiers:
        loaded = load_front(run, name, front)
        if pick is not None:
            points = [point for point in loaded.points if point.kept is not False]
            taken = choose([point.expected for point in points], loaded.tier.objectives, pick)
            loaded = replace(loaded, points=tuple(points[index] for index in taken))
        shown.append(_front_facts(run, loaded))
    return shown


def pair_plans(reference: str | Path, *, runs: Path = Path("runs")) -> list[Mapping[str, Any]]:
    """Return the plans of a run's pairs as its folder holds them, ready for JSON; none of pairs that were not searched.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: a file is damaged.
    """
    return [document for _, document in stored_pairs(open_run(reference, runs=runs))]


def solved_facts(solved: ResolvedFront) -> facts.TierFacts:
    """Return the facts of a front that was solved for, as `fronts` does; an empty one names the nearest network.

    Args:
        solved: as `solve` and `solve_tiers` return it.

    Returns:
        The front's points with scores, in the metrics' units.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.solved_facts(pipeline.solve("mini.yaml")).name
        'mini, solved for cpu'
    """
    experiment, refusal = solved.run.experiment, solved.refusal
    title = f"{experiment.name}, solved for {experiment.tiers[solved.loaded_front.tier.name].setup}"
    shown = replace(_front_facts(solved.run, solved.loaded_front), name=title)
    if refusal is None:
        return shown
    return replace(shown, notes=(f"{refusal.met[:1].upper()}{refusal.met[1:]}. {refusal.allowed}.",))


def _front_facts(run: Workspace, front: LoadedFront) -> facts.TierFacts:
    accuracy, latency = front.tier.quality.metric, run.objectives.latency(front.tier.name)
    tested = open_bundle(front.folder).test_accuracies
    return facts.TierFacts(
        front.tier.name,
        run.experiment.setups[run.experiment.tiers[front.tier.name].setup].model_dump(exclude_none=True),
        run.task,
        accuracy_facts(accuracy, front.source, front.tier.objectives[0].goal, run.task),
        facts.ObjectiveFacts(latency, "min", latency_origin_of(run, front.tier.name)),
        front.tier.limits,
        front=tuple(point_facts(point, accuracy, latency, tested) for point in front.points),
        front_source=front.by,
        passed=passed_facts(front, run.task),
        objectives=tuple(objective.metric for objective in front.tier.objectives),
        notes=front.notes,
    )


def point_facts(point: FrontPoint, accuracy: str, latency: str, tested: Mapping[str, float]) -> facts.FrontPointFacts:
    """Return the facts of a network on a front, as far as the front has them.

    Args:
        point: the network.
        accuracy: metric of the tier's quality.
        latency: metric of the tier's latency.
        tested: qualities on test samples, by the names of networks.
    """
    return facts.FrontPointFacts(
        point.architecture.key,
        point.scores,
        point.scores[latency],
        measured_ms=point.measured.get(latency),
        kept=point.kept,
        picks=point.picks,
        test_accuracy=tested.get(point.name),
        params=int(point.scores["params"]),
        macs=int(point.scores["macs"]),
        estimated=point.origin.get(latency, "").partition(", ")[2],
        accuracy_error=point.errors.get(accuracy),
        estimate=point.estimates.get(accuracy),
        precision=point.precision,
        paired=None if point.paired is None else point.paired.entry,
    )


def accuracy_facts(
    metric: str, source: AccuracySource, goal: Literal["min", "max"], task: Task
) -> facts.ObjectiveFacts:
    """Return the facts of a tier's accuracies."""
    return facts.ObjectiveFacts(metric, goal, source.origin, source.meaning(task), tuple(task.metrics))


def passed_facts(front: LoadedFront, task: Task) -> tuple[facts.ObjectiveFacts, ...]:
    """Return the facts of the scores of the rungs before the last one."""
    if front.halving is None:
        return ()
    goals = {rung.metric: rung.tier.objectives[0].goal for rung in front.halving.rungs}
    return tuple(
        accuracy_facts(name, source, goals[name], task) for name, source in front.halving.promoted_sources.items()
    )


def latency_origin_of(run: Workspace, tier: str) -> Origin:
    """Return the origin that a tier's latencies are marked with."""
    if run.objectives.is_published(tier):
        return "published"
    return "measured" if run.objectives.is_live(tier) else "predicted"
