"""Checks before a run's first minute for what would end it after hours."""

from __future__ import annotations

from hwnas.export import formats_of
from hwnas.problem.accuracy import accuracy_of
from hwnas.problem.feasibility import check_counted_limits
from hwnas.problem.population_costs import reject_live_tier
from hwnas.problem.warm_start import initial_architectures
from hwnas.registry import optional
from hwnas.search.storage.backends import open_storage
from hwnas.workspace.training.search_logs import check_log_packages
from hwnas.workspace.training.supernets import check_published, recipe_of, torch_device
from hwnas.workspace.workspace import Workspace


def preflight_check(run: Workspace, *, storage: bool = True) -> None:
    """Refuse what a later stage of the run would refuse, as far as that is known without a table and a supernet.

    `storage` is false where nothing may be written: a database is not opened then, which makes its tables.

    Raises:
        HwnasError: as that stage would.
    """
    if run.experiment.data is not None:
        run.dataset  # noqa: B018 - read now, and kept
    if run.source.supernet:
        _training(run)
    else:
        accuracy_of(run, None)
    _search(run, storage=storage)
    check_counted_limits(run)
    if run.experiment.data is not None:
        _export(run)


def _training(run: Workspace) -> None:
    """Check the device, and published weights; else the strategy, the teacher, and whether batches fit the images."""
    torch_device(run.experiment.device)
    if run.experiment.train.format is not None:
        return check_published(run)
    from hwnas.supernet.strategies import open_strategy
    from hwnas.supernet.training.task import check_recipe
    from hwnas.workspace.training.teacher import open_teacher

    recipe = recipe_of(run)
    open_strategy(run.space, recipe, base=run.base)
    check_recipe(recipe, run.dataset.train, open_teacher(run))


def _search(run: Workspace, *, storage: bool) -> None:
    """Check the first architectures, the needs of the sampler, the storage of the study, and its runner."""
    config = run.experiment.search
    initial_architectures(run)
    for tier in run.experiment.tiers:
        reject_live_tier(run, tier)
    if storage and config.storage is not None:
        open_storage(config.storage)
    if config.runner == "ray":
        optional("ray.tune", extra="ray", why="search.runner: ray")
    check_log_packages(config.tensorboard, config.mlflow)


def _export(run: Workspace) -> None:
    """Check the file formats, and the packages that write them; those are not imported, which takes seconds."""
    for file_format in formats_of(run.experiment.export.formats).values():
        file_format.check_package(where="export.formats")
