"""Counts of hwnas's own operators, kept in the user's cache folder: a command that meets no new one needs no PyTorch.

A file holds the counts of one version of the operators' code and of PyTorch, both of which name it.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hwnas.io.atomic import write_atomic
from hwnas.io.regular import open_regular
from hwnas.io.resources import cache_folder
from hwnas.ops.operator import Operator, Shape

MAX_OPERATORS = 20_000
"""Operators in a file; those beyond are counted each time."""

Counts = tuple[int, int, Shape]
"""Multiply-adds, bytes of activations, output shape."""


@dataclass
class CountCache:
    """Counts by operator and input shape, as a file has them and as this process adds to them."""

    file: Path
    params: dict[str, int] = field(default_factory=dict)
    at: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """By operator and input shape: a list of `Counts`."""
    news: bool = False

    def params_of(self, operator: Operator) -> int | None:
        """Return the parameters of an operator that was built before, else None."""
        return self.params.get(_line(operator) or "")

    def counts_of(self, operator: Operator, shape: Shape) -> Counts | None:
        """Return what was counted of an operator at an input shape, else None."""
        line = _line(operator)
        if line not in self.at or not _is_plain(shape):
            return None
        known = self.at[line].get(json.dumps(shape))
        return None if known is None else (known[0], known[1], tuple(known[2]))

    def add_params(self, operator: Operator, params: int) -> None:
        line = _line(operator)
        if line and len(self.params) < MAX_OPERATORS:
            self.params[line] = params
            self._has_news()

    def add_counts(self, operator: Operator, shape: Shape, counts: Counts) -> None:
        line = _line(operator)
        if line in self.params and _is_plain((*shape, *counts[2])):
            self.at.setdefault(line, {})[json.dumps(shape)] = list(counts)
            self._has_news()

    def _has_news(self) -> None:
        if not self.news:
            self.news = True
            atexit.register(self.write, os.getpid())

    def write(self, process: int) -> None:
        """Add to the file what is new; another process that does so at once may win."""
        if process != os.getpid():
            return  # a fork leaves writing to its parent
        there = read_counts(self.file)
        self.params = dict(list({**there.params, **self.params}.items())[:MAX_OPERATORS])
        at = {line: there.at.get(line, {}) | self.at.get(line, {}) for line in self.params}
        content = {"params": self.params, "at": {line: shapes for line, shapes in at.items() if shapes}}
        with suppress(OSError):
            write_atomic(self.file, json.dumps(content))


def read_counts(file: Path) -> CountCache:
    """Return the counts of a file; none of one that is not there, or damaged."""
    try:
        with open_regular(file) as content:
            raw = json.load(content)
        kept = CountCache(file, raw["params"], raw["at"])
        sound = all(type(count) is int for count in kept.params.values()) and all(
            line in kept.params and _is_sound(counts) for line, shapes in kept.at.items() for counts in shapes.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sound = False
    return kept if sound else CountCache(file)


def _is_sound(counts: Any) -> bool:
    macs, activation_bytes, shape = counts
    return all(type(number) is int for number in (macs, activation_bytes, *shape))


def _line(operator: Operator) -> str | None:
    """Return what identifies an operator of hwnas, else None: another's code is no part of the file's name, and knobs
    that JSON does not know cannot be told apart."""
    if not type(operator).__module__.startswith("hwnas.ops."):
        return None
    try:
        return operator.describe()
    except TypeError:
        return None


def _is_plain(shape: Shape) -> bool:
    torch = sys.modules.get("torch")
    usual = torch is None or torch.get_default_dtype() is torch.float32
    return usual and all(type(size) is int for size in shape)


@cache
def count_cache() -> CountCache:
    """The counts of this version, read when they are first asked for."""
    return read_counts(cache_folder() / f"counts-{_version()[:12]}.json")


def _version() -> str:
    """Return a digest of PyTorch's version and of all that operators are made by."""
    package = Path(__file__).parent.parent
    code = [*sorted((package / "ops").glob("*.py")), package / "tasks" / "ends.py", package / "cell.py"]
    digest = hashlib.sha256(metadata.version("torch").encode())
    for file in code:
        digest.update(file.read_bytes())
    return digest.hexdigest()
