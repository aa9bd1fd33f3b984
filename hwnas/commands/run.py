"""The main job: tables, training, search, files, report, in that order, each step resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.commands.bench import bench_run
from hwnas.commands.export import export_run
from hwnas.commands.report import report_run
from hwnas.commands.search import TierSearch, search_run
from hwnas.commands.train import train_run
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.feasibility import check_limits
from hwnas.problem.fronts.loading import load_front
from hwnas.problem.live import raise_if_paused
from hwnas.problem.preflight import preflight_check
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import NullReporter, Reporter
from hwnas.workspace.training.supernets import check_weights, supernet_of
from hwnas.workspace.workspace import open_run


@dataclass(frozen=True)
class Outcome:
    """Results of a run: its folder, its tiers, its manifests and its report."""

    folder: Path
    tiers: tuple[TierSearch, ...]
    manifests: tuple[Path, ...]
    report: Path


def run(
    reference: str | Path, *, runs: Path = Path("runs"), trials: int | None = None, narrator: Reporter | None = None
) -> Outcome:
    """Do all that an experiment asks for; what is done already is not done again.

    Latency comes before training, so that a limit that no network meets is found in time. As far as
    possible, later stages are checked before that: see `preflight_check`.
    """
    opened, narrator = (
        open_run(reference, runs=runs, narrator=narrator, before=check_weights),
        narrator or NullReporter(),
    )
    preflight_check(opened)
    with locked(opened):
        bench_run(opened, narrator)
        prices = load_cost_models(opened)
        check_limits(opened, prices)
        trained = train_run(opened, narrator) if opened.source.supernet else supernet_of(opened, narrator)
        searched = search_run(opened, trained, prices, narrator, trials=trials)
        if opened.experiment.data is None:
            narrator.info("no files are written: without `data` there are no images to compare them on")
        standing = [] if opened.experiment.data is None else [tier.tier.name for tier in searched if not tier.is_empty]
        fronts = [load_front(opened, tier, "search") for tier in standing]
        manifests = export_run(opened, trained, narrator, fronts) if fronts else []
        page = report_run(opened, trained, prices, searched)
    raise_if_paused((tier.tier.name, tier.paused) for tier in searched if tier.paused)
    return Outcome(opened.folder, tuple(searched), tuple(manifests), page)
