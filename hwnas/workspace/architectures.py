"""Architectures read from JSON, one or many in a file."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.errors import SpaceError, nearest, reason
from hwnas.io.fields import FieldError, loads
from hwnas.io.regular import read_regular
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.space import AnySpace, Architecture

_MANY = "A JSON list of architectures, such as a front, or one architecture a line"


def architecture_of(space: AnySpace, raw: Any, *, where: str) -> Architecture:
    """Return the architecture in JSON: `{"space", "picks"}`, what holds that, or the notation of the space's project.

    Raises:
        SpaceError: it does not fit the space.
    """
    return architecture_and_notation(space, raw, where=where)[0]


def architecture_and_notation(space: AnySpace, raw: Any, *, where: str) -> tuple[Architecture, Any]:
    """Return the architecture in JSON, and its form in the project's notation; None for the latter if it has picks."""
    raw = raw.get("architecture", raw) if isinstance(raw, dict) else raw
    own = isinstance(raw, dict) and "picks" in raw
    architecture = Architecture.from_dict(raw, where=where) if own else read_architecture(space, raw, where=where)
    lower(space, architecture)
    return architecture, None if own else raw


def read_json(path: Path, *, where: str, allowed: str, do: str) -> Any:
    """Return the content of a user's JSON file.

    Raises:
        SpaceError: it cannot be read, or is not JSON.
    """
    text = _text(path, where=where, allowed=allowed, do=do)
    try:
        return loads(text)
    except FieldError as error:
        fault = str(error)
        raise SpaceError(
            f"the file {fault.removeprefix('it ')}" if fault.startswith("it ") else f"the file is no JSON: {fault}",
            where=where,
            allowed=allowed,
            do=do,
        ) from error


def read_architectures(space: AnySpace, path: Path) -> list[Architecture]:
    """Return architectures of a JSON list, or one a line, each as a file or a string of `hwnas cost --architecture`."""
    text = _text(path, where=str(path), allowed=_MANY, do="Correct the path")
    architectures = [architecture_of(space, raw, where=where) for raw, where in _entries(text, path)]
    if not architectures:
        raise SpaceError(
            "the file holds no architecture",
            where=str(path),
            allowed=_MANY,
            do="Name another file, or leave it out and draw with --sample",
        )
    return list(dict.fromkeys(architectures))


def check_readable(path: Path) -> None:
    """Refuse a file of architectures that cannot be read; it is quick, and looks at no space.

    Raises:
        SpaceError: it cannot be read.
    """
    _text(path, where=str(path), allowed=_MANY, do="Correct the path")


def _entries(text: str, path: Path) -> Iterator[tuple[Any, str]]:
    whole = _json(text)
    if isinstance(whole, list):
        yield from ((raw, f"{path}: entry {number}") for number, raw in enumerate(whole, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            raw = _json(line)
            yield (raw if isinstance(raw, dict | list) else line.strip()), f"{path}:{number}"


def _json(text: str) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return loads(text)
    except FieldError:
        return None


def _text(path: Path, *, where: str, allowed: str, do: str) -> str:
    try:
        return read_regular(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"the file cannot be read ({reason(error)})", where=where, allowed=allowed, do=do) from error


_SEED = re.compile(r"random:([0-9]{1,18})")


def pick_architecture(space: AnySpace, which: str) -> Architecture:
    """Return the architecture that a command line names.

    Raises:
        SpaceError: it is not a name, or the file does not hold an architecture of the space.
    """
    check_named(which)
    return named_architecture(space, which)[0]


def named_architecture(space: AnySpace, which: str) -> tuple[Architecture, Any]:
    """Return the architecture, and its form in the project's notation; None for the latter if given otherwise."""
    if which in ("largest", "smallest"):
        return space.largest() if which == "largest" else space.smallest(), None
    if seed := _SEED.fullmatch(which):
        return space.random(random.Random(int(seed[1]))), None
    if _is_notation(which):
        return read_architecture(space, which, where="--architecture"), which
    raw = read_json(
        Path(which),
        where=which,
        allowed='It holds {"space": name, "picks": {...}}, or JSON in the notation of the space',
        do="Print one: `hwnas cost SPACE --architecture random:0 --json`",
    )
    return architecture_and_notation(space, raw, where=which)


def check_named(which: str) -> None:
    """Refuse what can name no architecture of any space; it is quick, and looks at no space.

    Raises:
        SpaceError: it is neither a word, nor a string, nor a file.
    """
    if which in ("largest", "smallest") or _SEED.fullmatch(which) or _is_notation(which) or _is_file(which):
        return
    near = nearest(which.partition(":")[0], ("largest", "smallest", "random"))
    raise SpaceError(
        f"`{which[:60]}` names no architecture and no file",
        where="--architecture",
        allowed=(f"Did you mean `{near.replace('random', 'random:SEED')}`? " if near else "")
        + "largest, smallest, random:SEED, a JSON file, or a string as '|nor_conv_3x3~0|+...' or 01201202",
        do="Use one of these",
    )


def _is_notation(which: str) -> bool:
    return which.lstrip().startswith("|") or (which.isdigit() and not _is_file(which))


def _is_file(which: str) -> bool:
    try:
        return Path(which).is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False
