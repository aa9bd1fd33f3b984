"""A run's folder while a command works in it: locked, with a copy of the experiment and of the space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwnas.config import Experiment, dump_experiment
from hwnas.errors import RunError, reason
from hwnas.io.atomic import abandoned_parts, write_atomic, write_file
from hwnas.io.locks import RunLock
from hwnas.io.regular import read_regular
from hwnas.io.storage_url import mode_of
from hwnas.io.yaml import dump_yaml, read_yaml
from hwnas.opened.build import OpenedBuild
from hwnas.opened.channel_scores import write_scores
from hwnas.opened.source import NetworkSource
from hwnas.opened.space_file import content_of
from hwnas.space import FunctionSpace, Space
from hwnas.tasks import Task
from hwnas.tasks.options import options_of
from hwnas.user_code import SourceFile, source_of
from hwnas.workspace.workspace import Workspace

NETWORK_FOLDER = "network"
"""Folder of a run that holds the file of a user's network and its weights."""
TASK_FOLDER = "task"
"""Folder of a run that holds the file of a user's task."""


@contextmanager
def locked(run: Workspace, lock: RunLock | None = None) -> Iterator[None]:
    """Lock a run's folder and write the resolved experiment and the space there.

    The only process in the folder removes partial files that killed processes left.
    """
    with lock or RunLock(run.folder) as acquired:
        try:
            if not acquired.shared:
                for part in abandoned_parts(run.folder, unheld=True):
                    part.unlink(missing_ok=True)
            _copy_space(run)
        except OSError as error:
            raise RunError(
                f"the run folder cannot be made ready ({reason(error)})",
                where=str(error.filename or run.folder),
                allowed="The folder must be writable and the disk not full",
                do="Correct that and run the same command again",
            ) from error
        mode = mode_of(run.experiment.search.storage)
        write_file(run.folder / "experiment.yaml", dump_experiment(resolved_experiment(run)), mode=mode)
        yield


def space_copy(run: Workspace) -> Path:
    """Return the folder's copy of the space."""
    return run.folder / f"space{'.yaml' if _opened(run) else run.space_file.suffix}"


def resolved_experiment(run: Workspace) -> Experiment:
    """Return the experiment that is kept in the folder: it means the same when it is read from there."""
    name = space_copy(run).name
    space = name if not isinstance(run.space, FunctionSpace) or _opened(run) else f"{name}:{run.space.name}"
    setups = {
        name: setup.model_copy(update={"table": str(run.paths.table(name).absolute())} if setup.table else {})
        for name, setup in run.experiment.setups.items()
    }
    plugins = tuple(_plugin_copies(run))
    task = (
        run.experiment.task
        if (source := source_of(type(run.space.task))) is None
        else _task_spec(run.space.task, source)
    )
    update = {"space": space, "plugins": plugins, "task": task, "setups": setups, "base": str(run.base.absolute())}
    return run.experiment.model_copy(update=update)


def _task_spec(task: Task, source: SourceFile) -> dict[str, Any]:
    """Return a task of a user's file as the experiment in the folder names it: the copied file, and all options."""
    kind = type(task)
    options = {key: getattr(task, field.name) for key, field in options_of(kind).items()}
    stated = {key: value for key, value in options.items() if key != "quality" or value}
    return {"name": f"{TASK_FOLDER}/{source.path.name}:{kind.__qualname__}", **stated}


def _copy_space(run: Workspace) -> None:
    """Copy the space's file and its plugins into the folder; a copied space names the copied plugins."""
    if (source := source_of(type(run.space.task))) is not None:
        _copy(source.path, run.folder / TASK_FOLDER / source.path.name)
    copied = space_copy(run)
    if (opened := _opened(run)) is not None:
        _copy_network(run, opened.source)
        return
    if copied.exists() and copied.samefile(run.space_file):
        return
    for plugin, name in zip(run.space.plugins, _plugin_copies(run), strict=True):
        _copy(plugin.path, run.folder / name)
    if isinstance(run.space, Space) and run.space.plugins:
        raw = {**read_yaml(run.space_file), "plugins": _plugin_copies(run)}
        write_file(copied, dump_yaml(raw))
    else:
        _copy(run.space_file, copied)


def _opened(run: Workspace) -> OpenedBuild | None:
    """Return the function of a space that is a network of the user's; None for other spaces."""
    build = run.space.build if isinstance(run.space, FunctionSpace) else None
    return build if isinstance(build, OpenedBuild) else None


def _copy_network(run: Workspace, source: NetworkSource) -> None:
    """Copy the file of a network, that of its weights, and the space that names them."""
    network, weights = run.folder / NETWORK_FOLDER / source.file.path.name, None
    _copy(source.file.path, network)
    if source.weights is not None:
        weights = run.folder / NETWORK_FOLDER / f"weights{source.weights.suffix}"
        _copy(source.weights, weights)
    if source.scores is not None:
        write_scores(source.scores, run.paths.importance)
    content = content_of(
        run.space,  # type: ignore[arg-type]
        f"{network.relative_to(run.folder)}:{source.function}",
        None if weights is None else str(weights.relative_to(run.folder)),
        source.importance if source.scores is None else str(run.paths.importance.relative_to(run.folder)),
    )
    write_file(space_copy(run), dump_yaml(content))


def _plugin_copies(run: Workspace) -> list[str]:
    """Return paths of the space's plugins in the folder, each in a separate folder as two may have the same name."""
    folder = run.folder.resolve()
    return [
        str(plugin.path.relative_to(folder))
        if plugin.path.is_relative_to(folder)
        else f"plugins/{number}/{plugin.path.name}"
        for number, plugin in enumerate(run.space.plugins, 1)
    ]


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole; one that is a link is replaced and not written through."""
    if not (target.exists() and target.samefile(source)):
        write_atomic(target, read_regular(source))
