"""Fronts of which it was not kept what they were found under: their studies may vouch for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.latency.table import read_table
from hwnas.pareto import Tier
from hwnas.pipeline.conditions import Conditions
from hwnas.pipeline.live import live_path
from hwnas.pipeline.pricing import refuse_another_setup, table_digest
from hwnas.pipeline.workspace import Run
from hwnas.search.agreement import KeptStudy, kept_studies
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.search.plan import Plan

SAME = ("space", "objectives", "limits", "seed")
"""Parts of a study's plan that are compared as they are."""


def vouched(run: Run, tier: Tier, points: tuple[FrontPoint, ...], now: Conditions) -> Conditions | None:
    """The conditions of a search's front that is that of a study which was made for what is asked now; else None.

    A study knows no data and no training: those are compared with a checkpoint where one is used.
    """
    storage: Path | str = run.experiment.search.storage or run.folder / f"study-{tier.name}.log"
    if isinstance(storage, Path) and not storage.exists():
        return None
    try:
        latencies = _latencies(run, tier.name)
        for study in kept_studies(storage, f"{run.experiment.name}-{tier.name}-"):
            producer = _producer(run, tier, study, latencies)
            if producer is not None and _is_front(study, tier, points):
                return replace(now, producer=producer, study=study.name)
    except (HwnasError, OSError):
        return None  # what is damaged vouches for nothing
    return None


def _latencies(run: Run, tier: str) -> str:
    """What makes the tier's latencies, as plans have it.

    Raises:
        HwnasError: a table is of another set-up than the experiment's, or cannot be read.
    """
    setup = run.experiment.tiers[tier].setup
    if run.is_published(tier):
        return run.published(setup).producer
    for path in (run.table_path(setup), run.front_table_path(setup), live_path(run, setup)):
        refuse_another_setup(run, setup, path)
    if run.is_live(tier):
        return "live"
    again = run.front_table_path(setup)
    if again.is_file() and read_table(again).setup != read_table(run.table_path(setup)).setup:
        return "a front that was timed on another set-up"
    return table_digest(run.table_path(setup))


def _producer(run: Run, tier: Tier, study: KeptStudy, latencies: str) -> str | None:
    """What made the study's accuracies, if it was made for the tier as it is now."""
    wanted = Plan(run.space, tier, seed=run.experiment.seed).identity
    if any(study.plan.get(part) != wanted[part] for part in SAME):
        return None
    own, told = f"{tier.objectives[1].metric}: {latencies}", f"{study.plan.get('producers')}"
    before, found, after = told.partition(own)
    accuracy = f"{before}{after}".strip(", ")
    if not found or not accuracy.startswith(f"{run.accuracy}: "):
        return None
    return accuracy.removeprefix(f"{run.accuracy}: ")


def _is_front(study: KeptStudy, tier: Tier, points: tuple[FrontPoint, ...]) -> bool:
    own = tier_front((evaluation for _, evaluation in study.told), tier)
    return {p.architecture.key: dict(p.scores) for p in points} == {p.architecture.key: dict(p.scores) for p in own}
