"""The main job: tables, training, search, files, report, in that order, each step resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from hwnas.rows import frame, html_table
from hwnas.words import brief
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.training.supernets import check_weights, supernet_of
from hwnas.workspace.workspace import open_run

if TYPE_CHECKING:
    from pandas import DataFrame


@brief
@dataclass(frozen=True)
class Outcome:
    """Results of a run: its folder, its tiers, its manifests and its report."""

    folder: Path
    tiers: tuple[TierSearch, ...]
    manifests: tuple[Path, ...]
    report: Path

    def frame(self) -> DataFrame:
        """Return the fronts of all tiers as a pandas frame."""
        return frame([row for tier in self.tiers for row in tier.rows])

    def _repr_html_(self) -> str:
        return html_table(f"{self.folder}: the fronts", [row for tier in self.tiers for row in tier.rows])


def run(
    reference: str | Path, *, runs: Path = Path("runs"), trials: int | None = None, reporter: Reporter | None = None
) -> Outcome:
    """Do all that an experiment asks for; what is done already is not done again.

    Latency comes before training, so that a limit that no network meets is found in time. As far as
    possible, later stages are checked before that: see `preflight_check`.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        trials: number of trials of each search, in place of the experiment's.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The run's folder, the tiers after their searches, and the paths of manifests and of the report.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: the folder holds a run of other conditions, or another process works in it.
        HostAway: a device cannot be reached; the same call continues later.

    Example:
        >>> from hwnas import pipeline
        >>> outcome = pipeline.run("mini.yaml")
        >>> outcome.report.name
        'report.html'
    """
    opened = open_run(reference, runs=runs, reporter=reporter, before=check_weights)
    reporter = default_reporter(reporter)
    preflight_check(opened)
    with locked(opened):
        bench_run(opened, reporter)
        cost_models = load_cost_models(opened)
        check_limits(opened, cost_models)
        trained = train_run(opened, reporter) if opened.source.supernet else supernet_of(opened, reporter)
        searched = search_run(opened, trained, cost_models, reporter, trials=trials)
        if opened.experiment.data is None:
            reporter.info("no files are written: without `data` there are no images to compare them on")
        standing = [] if opened.experiment.data is None else [tier.tier.name for tier in searched if not tier.is_empty]
        fronts = [load_front(opened, tier, "search") for tier in standing]
        manifests = export_run(opened, trained, reporter, fronts) if fronts else []
        page = report_run(opened, trained, cost_models, searched)
    raise_if_paused((tier.tier.name, tier.paused) for tier in searched if tier.paused)
    return Outcome(opened.folder, tuple(searched), tuple(manifests), page)
