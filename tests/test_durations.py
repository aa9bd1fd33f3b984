"""What the tests themselves are told of how long they take."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers import durations
from tests.helpers.repository import REPOSITORY


def test_every_test_that_is_known_to_be_slow_is_there() -> None:
    texts = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in durations.by_file(durations.known())}
    names = [name.partition("[")[0].split("::") for name in durations.known()]
    assert [name for name in names if f"def {name[-1]}(" not in texts[name[0]]] == []


def test_files_that_take_longest_begin_first_and_keep_their_order_within() -> None:
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in ("a::x", "b::y", "c::x", "b::x")]
    durations.longest_first(items, {"b::x": 1.0, "c::x": 0.7, "b::z": 0.5})
    assert [item.nodeid for item in items] == ["b::y", "b::x", "c::x", "a::x"]


def test_a_shared_fixture_counts_in_parts_and_other_tests_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "FILE", tmp_path / "durations.json")
    durations.write({"a::earlier": 2.0, "a::now quick": 3.0})
    recorder = durations.Recorder()
    recorder.shared = {"trained": 4.0}
    recorder.own = {"a::first": 0.1, "a::second": 0.5, "a::now quick": 0.2, "a::alone": 0.4}
    recorder.uses = {"a::first": ["trained"], "a::second": ["trained", "tmp_path"], "a::now quick": [], "a::alone": []}
    recorder.pytest_sessionfinish()
    recorded = json.loads(durations.FILE.read_text())
    assert recorded == {"a::earlier": 2.0, "a::first": 2.1, "a::second": 2.5, "a::alone": 0.4}
