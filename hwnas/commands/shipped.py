"""List of all that comes with hwnas: spaces, tables and experiments, with a line on each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwnas.io.resources import Folder, find_file, shipped_names
from hwnas.words import counted


@dataclass(frozen=True)
class Shipped:
    """A file that comes with hwnas, which commands take by its name."""

    name: str
    about: str
    file: Path


def shipped() -> dict[str, list[Shipped]]:
    """Return the spaces, tables and experiments that come with hwnas, with a line on each.

    Returns:
        By kind (`spaces`, `tables`, `experiments`) what there is, sorted by name.

    Example:
        >>> from hwnas import pipeline
        >>> "digits" in [space.name for space in pipeline.shipped()["spaces"]]
        True
    """
    return {kind: [_shipped(name, folder) for name in shipped_names(folder)] for kind, folder in SHIPPED_KINDS.items()}


SHIPPED_KINDS: Mapping[str, Folder] = {
    "spaces": "search_spaces",
    "tables": "latency_tables",
    "experiments": "experiments",
}


def _shipped(name: str, folder: Folder) -> Shipped:
    file = find_file(f"{folder}/{name}", folder)
    with file.open(encoding="utf-8") as lines:
        about = _HEADS.get(folder, _first_sentence)(lines.readline() if folder in _HEADS else lines.read())
    return Shipped(name, about, file)


def _first_sentence(text: str) -> str:
    """Return the first sentence of the comment that a file begins with, up to a line that ends one."""
    comment = re.match(r"(?:# .*\n)*?# .*\.\n", text)
    words = " ".join(line.removeprefix("# ") for line in comment[0].splitlines()) if comment else ""
    return re.split(r"(?<=[.?]) (?=[A-Z0-9])", words, maxsplit=1)[0]


def _set_up(head: str) -> str:
    """Return the set-up in the first line of a table, in words."""
    setup = json.loads(head)["setup"]
    threads = counted(setup["threads"], "thread")
    return f"{setup['runtime']} {setup['runtime_version']}, {setup['precision']}, {threads}, on {setup['device']}"


_HEADS: Mapping[Folder, Callable[[str], str]] = {"latency_tables": _set_up}
