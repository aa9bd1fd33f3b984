"""Finding and checking the space that a user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, HwnasError, SpaceError, raised
from hwnas.io.resources import Folder, find_file
from hwnas.io.yaml import read_yaml
from hwnas.registry import SourceFile, load_source, named, place_of, read_source
from hwnas.space import AnySpace, FunctionSpace, read_space
from hwnas.space.function import Choose
from hwnas.space_checks import check_space
from hwnas.tasks import DEFAULT, open_task
from hwnas.workspace.progress import LateBar, NullReporter, Reporter

FORM = (
    "A space is a function that is handed `choose` and returns (input_shape, {slot: Operator}) or (input_shape, module)"
)


@dataclass(frozen=True)
class UserFunction:
    """A function of a file; it goes to other processes as the file, unchanged since, and the function's name."""

    file: SourceFile
    name: str
    function: Callable[[Choose], Any]

    def __call__(self, choose: Choose) -> Any:
        try:
            return self.function(choose)
        except HwnasError:
            raise
        except Exception as error:
            raise SpaceError(
                f"`{self.name}` raised {raised(error)}",
                where=place_of(error, self.file.path),
                allowed=FORM,
                do="Correct the file",
            ) from error

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
    reference: str | Path,
    *,
    base: Path | None = None,
    plugins: Sequence[SourceFile] = (),
    narrator: Reporter | None = None,
) -> tuple[AnySpace, Path]:
    """Return the checked space that a reference names, and its file: YAML, a shipped name, or `file.py:function`.

    Args:
        reference: of the space.
        base: where its path begins, beside the current folder.
        plugins: files with operators, beside those that the space itself names.
        narrator: is shown a bar where checking the space takes seconds.

    Raises:
        ConfigError, SpaceError: it is missing, malformed, or its networks cannot be built.
    """
    name, function = split_reference(reference)
    path = find_file(name, "search_spaces", base)
    if path.suffix == ".py" and function is None:
        raise SpaceError(
            "the file's function is not named", where=str(path), allowed=FORM, do=f"Write `{name}:FUNCTION`"
        )
    space: AnySpace = _function_space(path, function) if function is not None else read_space(path)
    space = replace(space, plugins=tuple(dict.fromkeys([*space.plugins, *plugins])))
    try:
        with LateBar(narrator or NullReporter(), f"building every option of {space.name}") as bar:
            check_space(space, bar.update)
    except (ConfigError, SpaceError) as error:
        if any(str(file) in error.where for file in (path, *(plugin.path for plugin in space.plugins))):
            raise  # the file at fault is named
        raise type(error)(error.met, where=f"{path}: {error.where}", allowed=error.allowed, do=error.do) from error
    return space, path


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


def _function_space(path: Path, function: str) -> FunctionSpace:
    build = UserFunction(read_source(path), function, _loaded(path, function))
    task = open_task(str(getattr(build.function, "task", DEFAULT)), where=f"{path}: `{function}.task`")
    return FunctionSpace(function, build, source=str(path), task=task)


def _loaded(path: Path, function: str) -> Callable[[Choose], Any]:
    build: Callable[[Choose], Any] = named(f"{path.absolute()}:{function}", base=path.parent, where="space")
    if not callable(build):
        raise SpaceError(
            f"`{function}` is {type(build).__name__}, which cannot be called",
            where=str(path),
            allowed=FORM,
            do="Name such a function after the colon",
        )
    return build
