"""Finding and checking the space that a person names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, SpaceError
from hwnas.lookup import SourceFile, named, place_of
from hwnas.network import check_space
from hwnas.shipped import find_file
from hwnas.space import AnySpace, FunctionSpace, read_space
from hwnas.space.function import Choose

FORM = "A space is a function that is handed `choose` and returns (input_shape, {slot: Operator})"


def open_space(
    reference: str | Path, *, base: Path | None = None, plugins: Sequence[SourceFile] = ()
) -> tuple[AnySpace, Path]:
    """The checked space that a reference stands for, and its file: YAML, a shipped name, or `file.py:function`.

    Args:
        reference: of the space.
        base: where its path begins, beside the current folder.
        plugins: files with operators, beside those that the space itself names.

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
    check_space(space)
    return space, path


def split_reference(reference: str | Path) -> tuple[Path, str | None]:
    """File and function of `file.py:function`; other references name no function."""
    file, _, function = str(reference).rpartition(":")
    return (Path(file), function) if file.endswith(".py") else (Path(reference), None)


def _function_space(path: Path, function: str) -> FunctionSpace:
    try:
        build = named(f"{path.absolute()}:{function}", base=path.parent, where="space")
    except HwnasError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise _raised("the file", path, error) from error
    if not callable(build):
        raise SpaceError(
            f"`{function}` is {type(build).__name__}, which cannot be called",
            where=str(path),
            allowed=FORM,
            do="Name such a function after the colon",
        )

    def guarded(choose: Choose) -> Any:
        try:
            return build(choose)
        except HwnasError:
            raise
        except Exception as error:
            raise _raised(f"`{function}`", path, error) from error

    return FunctionSpace(function, guarded, source=str(path))


def _raised(what: str, path: Path, error: Exception) -> SpaceError:
    """The error of a user's code that raised, with the line in the user's own file."""
    return SpaceError(
        f"{what} raised {type(error).__name__}: {error}",
        where=place_of(error, path),
        allowed=FORM,
        do="Correct the file",
    )
