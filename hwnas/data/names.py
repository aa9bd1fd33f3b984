"""Names of classes, given as an option: a list, or a text file of one name a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.data.source import find
from hwnas.errors import ConfigError, DataError, reason
from hwnas.io.regular import read_regular

_ALLOWED = "`class_names` is a list of one name for each class, or a text file of one name a line"
_DO = "Name the classes in the order of their labels"


def class_names(given: object, classes: int, base: Path) -> tuple[str, ...]:
    """Return the names of `classes` classes.

    Raises:
        ConfigError: they are not names, or not as many as there are classes.
        DataError: their file cannot be read.
    """
    where = "data: class_names"
    if isinstance(given, str):
        file = find(Path(given), base, what="file", do=_DO)
        where, names = str(file), _lines(file)
    elif isinstance(given, Sequence) and all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in given
    ):
        names = [str(name) for name in given]
    else:
        raise ConfigError(f"`class_names` is {given!r}", where="data", allowed=_ALLOWED, do=_DO)
    if len(names) != classes:
        count = f"{len(names)} name{'s' * (len(names) != 1)}"
        raise ConfigError(
            f"`class_names` has {count} for {classes} classes",
            where=where,
            allowed=f"The labels go from 0 to {classes - 1}, and each has one name",
            do=_DO,
        )
    if bad := [name for name in names if not name.strip() or names.count(name) > 1]:
        what = f"`class_names` has `{bad[0]}` twice" if bad[0].strip() else "`class_names` has an empty name"
        raise ConfigError(what, where=where, allowed="Each class has a name of its own", do=_DO)
    return tuple(names)


def _lines(file: Path) -> list[str]:
    try:
        return read_regular(file).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the names cannot be read ({reason(error)})", where=str(file), allowed=_ALLOWED, do=_DO
        ) from error
