"""Result of successive halving for a tier: written by `hwnas halving`, read wherever fronts are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.accuracy import AccuracySource, accuracy_metric, source_of
from hwnas.errors import ConfigError, EmptyFront, HwnasError, RunError, reason
from hwnas.io.atomic import write_file
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.io.regular import read_regular
from hwnas.pareto import Objective, Tier
from hwnas.quantities import Quantity
from hwnas.quantities.quantity import Goal
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, read_front, write_front
from hwnas.search.nearest import nearest
from hwnas.search.stored_architecture import architecture_field
from hwnas.search.successive_halving import RungResult, promoted, tier_for_rung
from hwnas.stored_names import SOURCES, stored_source
from hwnas.tasks import Task
from hwnas.words import brief
from hwnas.workspace.workspace import Workspace

WHERE = "search.successive_halving"
HALVING_FOLDER = "ladder"
"""Folder of its files in a run's folder, and the name of its fronts in stored files."""


@brief
@dataclass(frozen=True)
class HalvingResult:
    """Rungs of a tier's successive halving, and the front among the networks of the last rung."""

    tier: str
    scores: tuple[str, ...]
    """Score of each rung, as the experiment names it."""
    rungs: tuple[RungResult, ...]
    front: tuple[FrontPoint, ...]
    """Points, each with the scores of all rungs that it passed, and their origins."""
    metrics: tuple[Quantity, ...] = ()
    """Metrics of the task, which some of the scores are of."""

    @property
    def source(self) -> AccuracySource:
        """Source of the last rung's scores."""
        return source_of(self.scores[-1], where=WHERE)

    @property
    def top_rung(self) -> RungResult:
        """The last rung; its score stands in the place of the tier's accuracy."""
        return self.rungs[-1]

    @property
    def promoted_sources(self) -> dict[str, AccuracySource]:
        """Sources by metric of the rungs before the last one. If a name occurs twice, the last one counts."""
        pairs = zip(self.rungs, self.scores, strict=True)
        sources = {rung.metric: source_of(score, where=WHERE) for rung, score in pairs}
        del sources[self.top_rung.metric]
        return sources

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form; the front is kept in separate files."""
        pairs = zip(self.scores, self.rungs, strict=True)
        return {"tier": self.tier, "asked": _asked(self.top_rung.tier), "rungs": [_rung_dict(*one) for one in pairs]}


def objective_of(score: str, task: Task) -> Objective:
    """Return the objective on a rung's scores, such as that of `top1@short`."""
    source = source_of(score, where=WHERE)
    return Objective(accuracy_metric(score, source.quantity(task)), source.goal(task))


def refuse_empty_results(results: Sequence[HalvingResult]) -> None:
    """Raise EmptyFront if no network of the last rung is left for a tier.

    Raises:
        EmptyFront: there is one; it names the network that came nearest to the limits.
    """
    empty = [result for result in results if not any(point.kept is not False for point in result.front)]
    if not empty:
        return
    rungs = {result.tier: result.top_rung for result in empty}
    near = {
        tier: nearest(((e.architecture.key, e.scores) for e in rung.evaluations if e.failed is None), rung.tier)
        for tier, rung in rungs.items()
    }
    tiers = "; ".join(f"tier `{tier}`" + (f": {one}" if one is not None else "") for tier, one in near.items())
    raise EmptyFront(
        f"no network of the last rung stands on the front ({tiers})",
        where="successive halving",
        allowed="A front holds networks within all limits of its tier",
        do="Loosen a limit, or have more networks on the last rung",
    )


def check_halving(run: Workspace) -> None:
    """Refuse an experiment without rungs, or with an invalid rung.

    Raises:
        ConfigError: there are no rungs, or a rung is invalid, which is named.
    """
    where = f"experiment `{run.experiment.name}`: {WHERE}"
    if not run.experiment.search.successive_halving:
        raise ConfigError(
            "the experiment names no rungs",
            where=where,
            allowed="Rungs from cheap to dear: [{score: inherited, networks: 100}, {score: finetuned, networks: 10}]",
            do="Add `search.successive_halving`",
        )
    for rung in run.experiment.search.successive_halving:
        source_of(rung.score, where=where)


def halving_path(run: Workspace, tier: str) -> Path:
    """Return the file of the rungs of a tier's successive halving."""
    return run.folder / HALVING_FOLDER / f"{tier}.json"


def no_halving(run: Workspace, tier: str) -> RunError:
    """Return the error of a tier without rungs."""
    return RunError(
        f"successive halving was not run for tier `{tier}`",
        where=str(halving_path(run, tier)),
        allowed="Its front is there once `hwnas halving` has ended",
        do=f"Run `hwnas halving {run.experiment.name}` first",
    )


def halving_front_path(run: Workspace, tier: str) -> Path:
    """Return the file of the front of a tier's successive halving."""
    return run.folder / HALVING_FOLDER / f"{tier}-front.json"


def save_halving_result(run: Workspace, result: HalvingResult) -> None:
    """Write a result: its front first, so that a front exists wherever the rungs do."""
    front = halving_front_path(run, result.tier)
    write_front(front, front.with_suffix(".csv"), result.front)
    write_file(halving_path(run, result.tier), json.dumps(result.as_dict(), indent=1, allow_nan=False) + "\n")


def load_halving_result(run: Workspace, tier: str) -> HalvingResult:
    """Return what `hwnas halving` left for a tier, whatever its limits were then.

    Raises:
        RunError: there is nothing, or it is damaged.
    """
    return _read(run, tier)[0]


def passed_by(result: HalvingResult, points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return networks with their scores on the rungs before the last one added, as far as they were on them."""
    known = {
        rung.metric: {
            one.architecture: one.scores[rung.metric] for one in rung.evaluations if rung.metric in one.scores
        }
        for rung in result.rungs
    }
    passed = [
        {
            metric: known[metric][point.architecture]
            for metric in result.promoted_sources
            if point.architecture in known[metric]
        }
        for point in points
    ]
    return tuple(
        replace(
            point,
            scores={**scores, **point.scores},
            origin={**{metric: result.promoted_sources[metric].origin for metric in scores}, **point.origin},
        )
        for point, scores in zip(points, passed, strict=True)
    )


def load_top_rung(run: Workspace) -> tuple[RungResult, AccuracySource]:
    """Return the last rung of the first tier, whatever its limits were; all tiers have the same rungs.

    Raises:
        RunError: none was, or what is left of it is damaged.
    """
    result, _ = _read(run, next(iter(run.experiment.tiers)))
    return result.top_rung, result.source


def _read(run: Workspace, tier: str) -> tuple[HalvingResult, str]:
    """Return a result, and the objectives and limits that it was for."""
    path = halving_path(run, tier)
    try:
        content = Fields(loads(read_regular(path)))
        scores = tuple(SOURCES.get(one.text("score"), one.text("score")) for one in content.objects("rungs"))
        goals = [source_of(score, where=WHERE).goal(run.space.task) for score in scores]
        pairs = zip(content.objects("rungs"), goals, strict=True)
        rungs = tuple(_rung(one, run.objectives.tier(tier), goal) for one, goal in pairs)
        if not rungs:
            raise FieldError("`rungs` is empty")
        front = tuple(read_front(halving_front_path(run, tier)))
        return HalvingResult(tier, scores, rungs, front, tuple(run.space.task.metrics)), content.text("asked")
    except FileNotFoundError as error:
        raise no_halving(run, tier) from error
    except (OSError, FieldError, HwnasError) as error:
        raise RunError(
            f"the rungs cannot be read ({reason(error)})",
            where=str(path),
            allowed="The file is one that `hwnas halving` wrote",
            do="Run `hwnas halving` again; scores that are stored are not computed again",
        ) from error


def _asked(tier: Tier) -> str:
    """Return objectives and limits in a line."""
    return ", ".join([*(f"{one.goal} {one.metric}" for one in tier.objectives), *map(str, tier.limits)])


def _rung(fields: Fields, tier: Tier, goal: Goal) -> RungResult:
    metric = fields.text("metric")
    seen = tier_for_rung(tier, Objective(metric, goal))
    evaluations = tuple(
        Evaluation(
            architecture_field(one),
            one.number_map("scores"),
            one.texts("broken"),
            failed=one.text("failed") if one.optional("failed") else None,
        )
        for one in fields.objects("evaluations")
    )
    went_on = promoted(evaluations, seen, fields.integer("promoted"))
    return RungResult(metric, fields.text("producer"), seen, evaluations, tuple(went_on), fields.number("elapsed_s"))


def _rung_dict(score: str, rung: RungResult) -> dict[str, Any]:
    went_on = {architecture.key for architecture in rung.promoted}
    return {
        "score": stored_source(score),
        "metric": rung.metric,
        "producer": rung.producer,
        "networks": len(rung.evaluations),
        "failed": rung.failed,
        "promoted": len(went_on),
        "elapsed_s": round(rung.elapsed_s, 3),
        "evaluations": [
            {
                "key": one.architecture.key,
                "architecture": one.architecture.as_dict(),
                "scores": dict(one.scores),
                "broken": list(one.broken),
                "failed": one.failed,
                "promoted": one.architecture.key in went_on,
            }
            for one in rung.evaluations
        ],
    }
