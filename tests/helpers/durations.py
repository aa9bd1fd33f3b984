"""How long tests take, as `pytest --record-durations` found: what is slow, and which files begin first.

Told are processor seconds, with those of processes that a test waited for: unlike those on the clock they do not
depend on what else the machine does. Of a fixture that tests share, each of them counts its part, though the first of
them that is run pays for all.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.repository import REPOSITORY

FILE = REPOSITORY / "tests" / "durations.json"
SLOW_S = 0.3
"""Longer tests are left out of `make test-fast`; the file tells of these only."""


def known() -> dict[str, float]:
    """Processor seconds of slow tests, by name."""
    found: dict[str, float] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def by_file(durations: dict[str, float]) -> dict[str, float]:
    """Processor seconds of the slow tests of each file."""
    total: dict[str, float] = defaultdict(float)
    for name, seconds in durations.items():
        total[name.partition("::")[0]] += seconds
    return total


class Recorder:
    """Plugin that takes the time of every test and keeps it in the file."""

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self.uses: dict[str, list[Any]] = {}
        self.shared: dict[Any, float] = {}
        self._within = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        begin, self._within = _seconds(), 0.0
        result = yield
        self.own[item.nodeid] = _seconds() - begin - self._within
        fixtures = getattr(item, "_fixtureinfo", None)
        self.uses[item.nodeid] = [] if fixtures is None else [ones[-1] for ones in fixtures.name2fixturedefs.values()]
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        begin = _seconds()
        result = yield
        if fixturedef.scope != "function":
            taken = _seconds() - begin
            self.shared[fixturedef] = max(taken, self.shared.get(fixturedef, 0))
            self._within += taken
        return result

    def pytest_sessionfinish(self) -> None:
        users = Counter(fixture for uses in self.uses.values() for fixture in uses)
        taken = {
            name: own + sum(self.shared.get(fixture, 0) / users[fixture] for fixture in self.uses[name])
            for name, own in self.own.items()
        }
        kept = {name: seconds for name, seconds in known().items() if name not in taken}
        write({**kept, **taken})


def write(durations: dict[str, float]) -> None:
    """Write the file, of slow tests only."""
    slow = {name: round(seconds, 1) for name, seconds in sorted(durations.items()) if seconds > SLOW_S}
    FILE.write_text(json.dumps(slow, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def _seconds() -> float:
    return sum(os.times()[:4])


def longest_first(items: list[pytest.Item], durations: dict[str, float]) -> None:
    """Put tests in the order of their files, those that take longest first: one that begins last keeps one worker
    alone at the end."""
    total = by_file(durations)
    items.sort(key=lambda item: -total[item.nodeid.partition("::")[0]])
