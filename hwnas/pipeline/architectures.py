"""Architectures that JSON tells, one or many in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.errors import SpaceError, reason
from hwnas.io.fields import FieldError, loads
from hwnas.io.regular import read_regular
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.space import AnySpace, Architecture

_MANY = "A JSON list of architectures, such as a front, or one architecture a line"


def architecture_of(space: AnySpace, raw: Any, *, where: str) -> Architecture:
    """The architecture that JSON tells: `{"space", "picks"}`, what holds that, or the notation of the space's project.

    Raises:
        SpaceError: it does not fit the space.
    """
    raw = raw.get("architecture", raw) if isinstance(raw, dict) else raw
    own = isinstance(raw, dict) and "picks" in raw
    architecture = Architecture.from_dict(raw, where=where) if own else read_architecture(space, raw, where=where)
    lower(space, architecture)
    return architecture


def read_json(path: Path, *, where: str, allowed: str, do: str) -> Any:
    """What a user's JSON file holds.

    Raises:
        SpaceError: it cannot be read, or is no JSON.
    """
    text = _text(path, where=where, allowed=allowed, do=do)
    try:
        return loads(text)
    except FieldError as error:
        met = str(error)
        raise SpaceError(
            f"the file {met.removeprefix('it ')}" if met.startswith("it ") else f"the file is no JSON: {met}",
            where=where, allowed=allowed, do=do,
        ) from error  # fmt: skip


def read_architectures(space: AnySpace, path: Path) -> list[Architecture]:
    """A JSON list, or one a line; each as `hwnas cost --architecture` takes it from a file, or a string."""
    text = _text(path, where=str(path), allowed=_MANY, do="Correct the path")
    found = [architecture_of(space, raw, where=where) for raw, where in _entries(text, path)]
    if not found:
        raise SpaceError(
            "the file holds no architecture", where=str(path), allowed=_MANY,
            do="Name another file, or leave it out and draw with --sample",
        )  # fmt: skip
    return list(dict.fromkeys(found))


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
    """What a text says as JSON; None where it is none."""
    try:
        return loads(text)
    except FieldError:
        return None


def _text(path: Path, *, where: str, allowed: str, do: str) -> str:
    try:
        return read_regular(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"the file cannot be read ({reason(error)})", where=where, allowed=allowed, do=do) from error
