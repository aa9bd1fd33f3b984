"""Finding and checking the space that a user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hwnas.config import Experiment
from hwnas.errors import ConfigError, SpaceError
from hwnas.io.resources import Folder, find_file
from hwnas.io.yaml import read_yaml
from hwnas.opened.space_file import parse_opened
from hwnas.space import AnySpace, FunctionSpace
from hwnas.space.function import FORM, Choose
from hwnas.space.reader import parse_space
from hwnas.space_checks import check_space
from hwnas.tasks import DEFAULT_TASK, Task, task_of
from hwnas.user_code import SourceFile, load_source, named, read_source
from hwnas.workspace.progress import LateBar, Reporter, default_reporter


@dataclass(frozen=True)
class UserFunction:
    """A function of a file; it goes to other processes as the file, unchanged since, and the function's name."""

    file: SourceFile
    name: str
    function: Callable[[Choose], Any]

    def __call__(self, choose: Choose) -> Any:
        return self.function(choose)

    @property
    def __wrapped__(self) -> Callable[[Choose], Any]:
        return self.function

    @property
    def input_shape(self) -> Any:
        """Shape of its networks' images, as the function declares it; None if it does not."""
        return getattr(self.function, "input_shape", None)

    def __reduce__(self) -> Any:
        return _reopened, (self.file, self.name)


@cache
def _reopened(file: SourceFile, name: str) -> UserFunction:
    return UserFunction(file, name, getattr(load_source(file), name))


def open_space(
    reference: str | Path | Mapping[str, Any],
    *,
    base: Path | None = None,
    plugins: Sequence[SourceFile] = (),
    task: Task | None = None,
    reporter: Reporter | None = None,
) -> tuple[AnySpace, Path]:
    """Return the checked space that a reference names, and its file.

    Args:
        reference: a YAML file, a shipped name, `file.py:function`, or a network of yours to be opened as a mapping,
            `{"network": "file.py:function", "weights": "file.pth"}`.
        base: folder that the path may begin at, beside the current one.
        plugins: files with operators, beside those that the space itself names.
        task: takes the place of the space's own.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The space and the path of its file.

    Raises:
        ConfigError, SpaceError: it is missing, malformed, or its networks cannot be built.

    Example:
        >>> from hwnas import pipeline
        >>> space, file = pipeline.open_space("space.yaml")
        >>> space.count
        4
    """
    space, path = unchecked_space(reference, base=base, plugins=plugins, task=task)
    check_opened(space, path, reporter)
    return space, path


def unchecked_space(
    reference: str | Path | Mapping[str, Any],
    *,
    base: Path | None = None,
    plugins: Sequence[SourceFile] = (),
    task: Task | None = None,
) -> tuple[AnySpace, Path]:
    """Return the same, of which no operator was built yet: PyTorch is not imported for it.

    Raises:
        ConfigError, SpaceError: it is missing or malformed.
    """
    if isinstance(reference, Mapping):
        return _opened(reference, where="space", base=base or Path(), task=task)
    name, function = split_reference(reference)
    path = find_file(name, "search_spaces", base)
    if path.suffix == ".py" and function is None:
        raise SpaceError(
            "the file's function is not named", where=str(path), allowed=FORM, do=f"Write `{name}:FUNCTION`"
        )
    space: AnySpace = _written_space(path, task) if function is None else _function_space(path, function, task)
    plugins = tuple(dict.fromkeys([*space.plugins, *plugins]))
    return replace(space, plugins=plugins), path


def _written_space(path: Path, task: Task | None) -> AnySpace:
    """Return the space in a YAML file: stages, or a network to be opened."""
    raw = read_yaml(path)
    if "network" in raw:
        return _opened(raw, where=str(path), base=path.parent, task=task)[0]
    if "space" in raw:
        raise SpaceError(
            "the file is an experiment, no space",
            where=str(path),
            allowed="`space` names the file of a space; a file beside the experiment is found before one of hwnas",
            do="Name the space's own file, or give the two files different names",
        )
    return parse_space(raw, where=str(path), base=path.parent, task=task)


def _opened(raw: Mapping[str, Any], *, where: str, base: Path, task: Task | None) -> tuple[FunctionSpace, Path]:
    """Return the space of a network of the user's, and the network's file."""
    if "network" not in raw:
        raise SpaceError(
            "the key `network` is missing",
            where=where,
            allowed="A space is a file's path, a shipped name, or `{network: FILE.py:FUNCTION, weights: FILE}`",
            do="Add it",
        )
    space = parse_opened(raw, where=where, base=base, task=task)
    return space, space.build.source.file.path  # type: ignore[attr-defined]


def task_in(experiment: Experiment, *, base: Path, where: str) -> Task | None:
    """Return the task that an experiment names; None if it leaves it to its space.

    Raises:
        ConfigError: there is no such task, or it has no such option.
    """
    return None if experiment.task is None else task_of(experiment.task, base=base, where=f"{where}: task")


def check_opened(space: AnySpace, path: Path, reporter: Reporter | None = None) -> None:
    """Check that the networks of a space from a file can be built.

    Raises:
        ConfigError, SpaceError: they cannot.
    """
    try:
        with LateBar(default_reporter(reporter), f"building every option of {space.name}") as bar:
            check_space(space, bar.update)
    except (ConfigError, SpaceError) as error:
        if any(str(file) in error.where for file in (path, *(plugin.path for plugin in space.plugins))):
            raise  # the file at fault is named
        raise type(error)(error.met, where=f"{path}: {error.where}", allowed=error.allowed, do=error.do) from error


def is_space(reference: str | Path) -> bool | None:
    """Return whether a reference names a space, and not an experiment or a run; None if it names nothing."""
    if (Path(reference) / "experiment.yaml").is_file():
        return False
    name, function = split_reference(reference)
    if function is not None:
        return True
    folders: tuple[Folder, ...] = ("search_spaces", "experiments")
    for folder in folders:
        with suppress(ConfigError):
            path = find_file(name, folder)
            return path.suffix == ".py" or "space" not in read_yaml(path)
    return None


def split_reference(reference: str | Path) -> tuple[Path, str | None]:
    """Return file and function of `file.py:function`; the function is None for other references."""
    file, _, function = str(reference).rpartition(":")
    return (Path(file), function) if file.endswith(".py") else (Path(reference), None)


def _function_space(path: Path, function: str, task: Task | None) -> FunctionSpace:
    loaded = named(f"{path.absolute()}:{function}", base=path.parent, where="space")
    build = UserFunction(read_source(path), function, loaded)
    if task is None and (stated := getattr(loaded, "task", None)) is not None:
        task = task_of(stated, base=path.parent, where=f"{path}: `{function}.task`")
    return FunctionSpace(function, build, source=str(path), task=task or DEFAULT_TASK)
