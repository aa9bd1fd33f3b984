"""The report of a run, filled from the files that it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas import __version__
from hwnas.commands.edge_cloud_plans import planned_links
from hwnas.commands.report_tiers import tier_facts
from hwnas.commands.search import TierSearch, load_searches
from hwnas.config import dump_experiment, published
from hwnas.errors import SpaceError
from hwnas.network import costs
from hwnas.problem.cost_models import CostModels, load_cost_models
from hwnas.report import facts, units
from hwnas.report.page import write_page
from hwnas.space import Architecture
from hwnas.workspace.elapsed import read_elapsed
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.folder import locked, resolved_experiment
from hwnas.workspace.progress import NullReporter, Reporter, default_reporter
from hwnas.workspace.results.halving_results import HALVING_FOLDER
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


def report(reference: str | Path, *, runs: Path = Path("runs"), reporter: Reporter | None = None) -> Path:
    """Write report.html of a run again, from what its searches and successive halving left in its folder.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The page's path.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: nothing was trained or searched yet.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.report("mini.yaml").as_posix()
        'runs/mini/report.html'
    """
    from hwnas.workspace.training.supernets import check_trained, supernet_of

    run = open_run(reference, runs=runs, before=check_trained)
    with locked(run):
        trained = supernet_of(run, default_reporter(reporter))
        cost_models = load_cost_models(run)
        return report_run(run, trained, cost_models, load_searches(run, trained))


def read_facts(run: Workspace) -> facts.ReportFacts:
    """Return the facts of a run's report; nothing is written."""
    from hwnas.workspace.training.supernets import check_trained, supernet_of

    check_trained(run)
    trained, cost_models = supernet_of(run, NullReporter()), load_cost_models(run)
    return facts_of(run, trained, cost_models, load_searches(run, trained))


def report_run(
    run: Workspace, trained: Trained | None, cost_models: dict[str, CostModels], searched: list[TierSearch]
) -> Path:
    """Write report.html of a run that was searched, and exported or not."""
    return write_page(facts_of(run, trained, cost_models, searched), run.folder / "report.html")


def facts_of(
    run: Workspace, trained: Trained | None, cost_models: dict[str, CostModels], searched: Sequence[TierSearch]
) -> facts.ReportFacts:
    """Return all facts of the report."""
    config, tiers = run.experiment, tuple(tier_facts(run, cost_models, searched))
    return facts.ReportFacts(
        experiment=config.name,
        title=config.title or config.name,
        created_at=units.now(),
        hwnas_version=__version__,
        machine=machine(),
        space=facts.SpaceFacts(
            run.space.name,
            run.space.source,
            _count(run),
            len(run.space.choices),
            _costs(run, run.space.smallest()),
            _costs(run, run.space.largest()),
        ),
        tiers=tiers,
        training=None if trained is None else _training(run, trained),
        config_yaml=dump_experiment(published(resolved_experiment(run))),
        versions=versions(),
        elapsed={
            "halving" if stage == HALVING_FOLDER else stage: seconds
            for stage, seconds in read_elapsed(run.paths.elapsed).items()
        },
        plans=tuple(planned_links(run, {point.key for tier in tiers for point in tier.front})),
    )


def _training(run: Workspace, trained: Trained) -> facts.TrainingFacts:
    epochs = tuple(facts.EpochFacts(e.epoch, e.loss, e.smallest, e.largest, e.seconds) for e in trained.history)
    sizes = {name: f"{len(getattr(run.dataset, name)):,} {name}" for name in ("train", "validation", "test")}
    data = f"{run.dataset.name}: {', '.join(sizes.values())} {run.task.terms.samples}"
    return facts.TrainingFacts(epochs, run.task, data)


def _costs(run: Workspace, architecture: Architecture) -> facts.CostFacts:
    total = costs(run.network(architecture))
    return facts.CostFacts(total.params, total.macs, total.activation_bytes)


def _count(run: Workspace) -> int | None:
    try:
        return run.space.count
    except SpaceError:
        return None
