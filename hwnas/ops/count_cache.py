"""Counts of hwnas's own operators, which come with it or are kept in the user's cache folder: a command that meets no
new one needs no PyTorch.

A file in the cache folder holds the counts of one version of the operators' code and of PyTorch, both of which name it.
`counts.json` beside this file has the operators of the shipped spaces, of cells those that they are counted by, and
is read if the operators' code is what it was made from (`python -m tests.helpers.shipped_counts`).
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
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
SHIPPED_COUNTS = Path(__file__).with_name("counts.json")

Counts = tuple[int, int, Shape]
"""Multiply-adds, bytes of activations, output shape."""
ByShape = dict[str, dict[str, list[Any]]]
"""Numbers by operator and input shape."""
COST_COUNTER = "costs"
"""The counter of `Counts`; others give numbers alone."""


@dataclass
class CountCache:
    """Counts by operator and input shape, as a file has them and as this process adds to them."""

    file: Path
    params: dict[str, int] = field(default_factory=dict)
    at: dict[str, ByShape] = field(default_factory=dict)
    """By counter."""
    shipped: CountCache | None = None
    """Counts that come with hwnas; they are not written again."""
    news: bool = False

    def params_of(self, operator: Operator) -> int | None:
        """Return the parameters of an operator that was built before, else None."""
        return self._params(_line(operator) or "")

    def _params(self, line: str) -> int | None:
        known = self.params.get(line)
        return self.shipped.params.get(line) if known is None and self.shipped else known

    def counts_of(self, operator: Operator, shape: Shape) -> Counts | None:
        """Return what was counted of an operator at an input shape, else None."""
        known = self.numbers_of(COST_COUNTER, operator, shape)
        return None if known is None else (known[0], known[1], tuple(known[2]))

    def numbers_of(self, counter: str, operator: Operator, shape: Shape) -> list[Any] | None:
        line = _line(operator)
        if line is None or not _is_plain(shape):
            return None
        known = self.at.get(counter, {}).get(line, {}).get(json.dumps(shape))
        return self.shipped.numbers_of(counter, operator, shape) if known is None and self.shipped else known

    def add_params(self, operator: Operator, params: int) -> None:
        line = _line(operator)
        if line and len(self.params) < MAX_OPERATORS:
            self.params[line] = params
            self._has_news()

    def add_counts(self, operator: Operator, shape: Shape, counts: Counts) -> None:
        if _is_plain(counts[2]):
            self.add_numbers(COST_COUNTER, operator, shape, counts)

    def add_numbers(self, counter: str, operator: Operator, shape: Shape, numbers: Iterable[Any]) -> None:
        line = _line(operator)
        if line and (params := self._params(line)) is not None and _is_plain(shape):
            self.params[line] = params
            self.at.setdefault(counter, {}).setdefault(line, {})[json.dumps(shape)] = list(numbers)
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
        counters = dict.fromkeys((*there.at, *self.at))
        self.at = {name: self._merged(there.at.get(name, {}), self.at.get(name, {})) for name in counters}
        with suppress(OSError):
            write_atomic(self.file, json.dumps(self.content()))

    def _merged(self, there: ByShape, mine: ByShape) -> ByShape:
        at = {line: there.get(line, {}) | mine.get(line, {}) for line in self.params}
        return {line: shapes for line, shapes in at.items() if shapes}

    def content(self) -> Mapping[str, Any]:
        """Return what a file holds."""
        return {"params": self.params, "at": self.at}


def read_counts(file: Path, code: str | None = None) -> CountCache:
    """Return the counts of a file; none of one that is not there, or damaged, or of other code than this."""
    try:
        with open_regular(file) as content:
            raw = json.load(content)
        kept = CountCache(file, raw["params"], raw["at"])
        sound = raw.get("code") == code and all(type(count) is int for count in kept.params.values())
        for counter, lines in kept.at.items():
            for line, shapes in lines.items():
                sound = sound and line in kept.params and all(_is_sound(counter, n) for n in shapes.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sound = False
    return kept if sound else CountCache(file)


def _is_sound(counter: str, numbers: list[Any]) -> bool:
    if counter == COST_COUNTER:
        macs, activation_bytes, shape = numbers
        numbers = [macs, activation_bytes, *shape]
    return all(type(number) is int for number in numbers)


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
    code = code_digest()
    version = hashlib.sha256(f"{code} {metadata.version('torch')}".encode()).hexdigest()
    kept = read_counts(cache_folder() / f"counts-{version[:12]}.json")
    kept.shipped = read_counts(SHIPPED_COUNTS, code)
    return kept


def code_digest() -> str:
    """Return a digest of all that operators are made by."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in [*sorted((package / "ops").glob("*.py")), package / "tasks" / "ends.py", package / "cell.py"]:
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def counted_once(
    counter: str, operator: Operator, shape: Shape, count: Callable[[Operator, Shape], tuple[int, ...]]
) -> tuple[int, ...]:
    """Return what a function counts of an operator at an input shape, or what it counted before.

    Args:
        counter: the function's name in files.
    """
    known = count_cache().numbers_of(counter, operator, shape)
    if known is None:
        known = list(count(operator, shape))
        count_cache().add_numbers(counter, operator, shape, known)
    return tuple(known)
