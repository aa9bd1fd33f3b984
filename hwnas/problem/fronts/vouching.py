"""Fronts whose conditions were not kept: their studies may vouch for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.pareto import Tier
from hwnas.problem.cost_models import another_setup, header_of, table_digest
from hwnas.problem.fronts.conditions import Conditions
from hwnas.problem.live import live_path
from hwnas.quantities import LATENCY
from hwnas.search.consistency import StoredStudy, stored_studies
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.search.study_spec import StudySpec
from hwnas.workspace.workspace import Workspace


def vouched(run: Workspace, tier: Tier, points: tuple[FrontPoint, ...], now: Conditions) -> Conditions | None:
    """Return the conditions of the study that a search's front belongs to, as far as its plan has them; None if none.

    A study knows no data and no training: those are compared with a checkpoint where one is used.
    """
    storage: Path | str = run.experiment.search.storage or run.paths.study(tier.name)
    if isinstance(storage, Path) and not storage.exists():
        return None
    try:
        for study in stored_studies(storage, f"{run.experiment.name}-{tier.name}-"):
            then = _planned(run, tier, study, now)
            if _is_front(study, then.tier(tier.name), points):
                return then
    except (HwnasError, OSError, KeyError, ValueError):
        return None  # what is damaged vouches for nothing
    return None


def _latencies(run: Workspace, tier: str) -> str | None:
    """Return the producer of the tier's latencies, as in plans; empty without a table, None if of another set-up.

    Raises:
        HwnasError: a file of published latencies cannot be read.
    """
    setup = run.experiment.tiers[tier].setup
    if run.objectives.is_published(tier):
        return run.published.latencies(setup).producer
    own, again = run.paths.table(setup), run.paths.front_table(setup)
    paths = (again, live_path(run, setup)) if run.objectives.is_live(tier) else (own, again)
    if any(another_setup(run, setup, path) is not None for path in paths):
        return None
    if run.objectives.is_live(tier):
        return "live"
    if own.is_file() and again.is_file() and header_of(again) != header_of(own):
        return None
    return table_digest(own) if own.is_file() else ""


def _planned(run: Workspace, tier: Tier, study: StoredStudy, now: Conditions) -> Conditions:
    """Return the conditions that a study was made for. Plans round limits: those of one text are taken as equal."""
    plan, wanted = study.plan, StudySpec(run.space, tier, seed=run.experiment.seed).identity
    same = {part: plan[part] == wanted[part] for part in ("space", "objectives", "limits")}
    objectives = [" ".join(reversed(one.split(" "))) for one in plan["objectives"].split(", ")]
    limits = [limit for limit in plan["limits"].split(", ") if limit]
    planned = Conditions({"objectives": objectives, "limits": []}).tier(tier.name)
    accuracy, latency = planned.quality.metric, planned.cost(LATENCY.name).metric
    first, second = sorted((accuracy, latency))
    before, _, after = plan["producers"].removeprefix(f"{first}: ").partition(f", {second}: ")
    made = {first: before, second: after}
    parts = {
        **now.parts,
        "space": now.parts["space"] if same["space"] else plan["space"],
        "seed": int(plan["seed"]),
        "objectives": now.parts["objectives"] if same["objectives"] else objectives,
        "limits": now.parts["limits"] if same["limits"] else limits,
        "latency": _latency(made[latency], _latencies(run, tier.name), now),
    }
    return Conditions(parts, made[accuracy], study.name)


def _latency(producer: str, own: str | None, now: Conditions) -> Mapping[str, Any]:
    """Return the source of a study's latencies; as the experiment has it now, if that is the same."""
    if own is None:
        return {"source": "another set-up"}
    if own in (producer, ""):
        return dict(now.parts["latency"])
    if producer == "live":
        return {"source": "live"}
    published = producer.startswith("table ")
    return {"source": "published", "content": producer} if published else {"source": "table", "table": producer}


def _is_front(study: StoredStudy, tier: Tier, points: tuple[FrontPoint, ...]) -> bool:
    own = tier_front((evaluation for _, evaluation in study.evaluated), tier)
    return {p.candidate.key: dict(p.scores) for p in points} == {p.candidate.key: dict(p.scores) for p in own}
