"""What would end a run after hours is looked for before its first minute."""

from __future__ import annotations

from importlib.util import find_spec

from hwnas.errors import MissingExtra
from hwnas.lookup import optional
from hwnas.pipeline.accuracy import accuracy_of
from hwnas.pipeline.guiding import refuse_live
from hwnas.pipeline.starting import started_with
from hwnas.pipeline.training import recipe_of, torch_device
from hwnas.pipeline.workspace import Run
from hwnas.search.storage import open_storage

CONVERTERS = {"tflite": "litert_torch"}
"""Packages of their own that files of a format are written with."""


def look_ahead(run: Run) -> None:
    """Refuse what a later stage of the run would refuse, as far as it can be told without a table and a supernet.

    Raises:
        HwnasError: as that stage would.
    """
    if run.experiment.data is not None:
        run.dataset  # noqa: B018 - read now, and kept
    if run.source.supernet:
        _training(run)
    else:
        accuracy_of(run, None)
    _search(run)
    if run.experiment.data is not None:
        _export(run)


def _training(run: Run) -> None:
    """The device, the strategy, the teacher, and whether batches fit the images."""
    torch_device(run.experiment.device)
    from hwnas.pipeline.teaching import open_teacher
    from hwnas.supernet.course import check_recipe
    from hwnas.supernet.strategies import open_strategy

    recipe = recipe_of(run)
    open_strategy(run.space, recipe, base=run.base)
    check_recipe(recipe, run.dataset.train, open_teacher(run))


def _search(run: Run) -> None:
    """What is tried first, the sampler's needs, where the study is kept, and what runs it."""
    config = run.experiment.search
    started_with(run)
    for tier in run.experiment.tiers:
        refuse_live(run, tier)
    if config.storage is not None:
        open_storage(config.storage)
    if config.runner == "ray":
        optional("ray.tune", extra="ray", why="search.runner: ray")
    if config.tensorboard:
        optional("tensorboardX", extra="tensorboard", why="search.tensorboard: true")


def _export(run: Run) -> None:
    """The packages that write files; they are not imported, which takes seconds."""
    for format in run.experiment.export.formats:
        if (package := CONVERTERS.get(format)) is not None and find_spec(package) is None:
            raise MissingExtra(
                f"the package `{package}` is not installed, which writes `{format}` files",
                where="export.formats",
                allowed='It comes with the extra "convert"',
                do=f'Run: pip install "hwnas[convert]", or leave `{format}` out of `export.formats`',
            )
