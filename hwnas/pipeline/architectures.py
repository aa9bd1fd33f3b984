"""Files that hold many architectures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.errors import SpaceError, reason
from hwnas.pipeline.costs import architecture_of
from hwnas.space import AnySpace, Architecture


def read_architectures(space: AnySpace, path: Path) -> list[Architecture]:
    """A JSON list, or one a line; each as `hwnas cost --architecture` takes it from a file, or a string."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(
            f"the file cannot be read ({reason(error)})",
            where=str(path),
            allowed="It holds a JSON list of architectures, such as a front, or one architecture a line",
            do="Correct the path",
        ) from error
    found = [architecture_of(space, raw, where=where) for raw, where in _entries(text, path)]
    if not found:
        raise SpaceError(
            "the file holds no architecture",
            where=str(path),
            allowed="A JSON list of architectures, such as a front, or one architecture a line",
            do="Name another file, or leave it out and draw with --sample",
        )
    return list(dict.fromkeys(found))


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
        return json.loads(text)
    except ValueError:
        return None
