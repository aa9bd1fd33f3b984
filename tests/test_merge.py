"""Merging latency tables: a union that forgets nothing, mixes nothing and touches nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import TableError
from hwnas.io.checksum import CHECKSUM_KEY
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.origin import Origin
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.table_lines import without_seals
from hwnas.measure.timing import Measurement
from hwnas.ops import Operator
from hwnas.ops.conv import Conv
from hwnas.runtimes.setup import Setup

SETUP = Setup("my board", "onnxruntime", "1.32.0")
OPERATORS = [Conv(3, width) for width in (4, 8, 12, 16)]


class Chain:
    def __init__(self, *operators: Operator) -> None:
        self.links = [(operator, (3, 8, 8)) for operator in operators]


def filled(path: Path, seed: int, **setup: Any) -> Path:
    """A table with some of the operators, checks and spaces; two of them share some and differ in the samples."""
    rng, table = random.Random(seed), open_table(path, replace(SETUP, **setup))

    def samples() -> Measurement:
        taken = tuple(rng.uniform(900, 1100) for _ in range(4))
        return Measurement(taken, {"reference_ns": rng.uniform(90, 110), "load": [seed, seed]})

    table.append_overhead(samples())
    for operator in rng.sample(OPERATORS, 3):
        table.append_row(operator, (3, 8, 8), samples(), rng.choice([None, 100 + seed]))
    table.append_check(Chain(*rng.sample(OPERATORS, 2)), samples())
    table.append_space("one", f"one{seed}.yaml")
    table.append_space(f"own{seed}", "own.yaml")
    return path


def content(table: LatencyTable) -> list[Any]:
    """All that a table holds, conditions included, in the order of its lines."""
    return [
        [(key, m.rounds_ns, m.conditions) for key, m in table.rows.items()],
        [(key, m.rounds_ns, m.conditions) for key, m in table.checks.items()],
        table.overhead and (table.overhead.rounds_ns, table.overhead.conditions),
        table.spaces, table.file_bytes, table.check_bytes, table.overhead_bytes, table.setup, table.origin,
    ]  # fmt: skip


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return [filled(tmp_path / f"{seed}.jsonl", seed) for seed in range(3)]


def test_everything_is_there_and_the_first_observation_stays(parts: list[Path], tmp_path: Path) -> None:
    tables, before = [read_table(path) for path in parts], [path.read_bytes() for path in parts]
    merged = merge_tables(parts, tmp_path / "all.jsonl")
    again = read_table(tmp_path / "all.jsonl")
    for kind in ("rows", "checks", "spaces", "file_bytes"):
        expected: dict[Any, Any] = {}
        for table in tables:
            expected = {**getattr(table, kind), **expected}
        assert getattr(again, kind) == expected
    assert again.overhead == tables[0].overhead
    for key, row in again.rows.items():
        assert row.conditions == next(table.rows[key] for table in tables if key in table.rows).conditions
    observed = sum(len(table.rows) + len(table.checks) + 1 for table in tables)
    assert merged.again == observed - len(again.rows) - len(again.checks) - 1 > 0
    assert merged.alike == 0
    assert [path.read_bytes() for path in parts] == before


def test_merging_is_associative(parts: list[Path], tmp_path: Path) -> None:
    a, b, c = parts
    names = [tmp_path / f"merged{number}" for number in range(4)]
    merge_tables([a, b], names[0])
    merge_tables([names[0], c], names[1])
    merge_tables([b, c], names[2])
    merge_tables([a, names[2]], names[3])
    assert content(read_table(names[1])) == content(read_table(names[3]))
    assert names[1].read_bytes() == names[3].read_bytes()


def test_a_table_merged_with_itself_is_itself(parts: list[Path], tmp_path: Path) -> None:
    merged = merge_tables([parts[0], parts[0]], tmp_path / "twice")
    assert (tmp_path / "twice").read_bytes() == parts[0].read_bytes()
    assert (merged.alike, merged.again) == (5, 0)
    assert merge_tables(parts[:1], tmp_path / "once").alike == 0
    assert (tmp_path / "once").read_bytes() == parts[0].read_bytes()


def test_nothing_that_was_not_there_appears(parts: list[Path], tmp_path: Path) -> None:
    merge_tables(parts, tmp_path / "all")
    lines = [json.loads(line) for path in parts for line in path.read_text().splitlines()[1:]]
    known = [{k: v for k, v in line.items() if k not in ("file_bytes", CHECKSUM_KEY)} for line in lines]
    for line in map(json.loads, (tmp_path / "all").read_text().splitlines()[1:]):
        assert {k: v for k, v in line.items() if k not in ("file_bytes", CHECKSUM_KEY)} in known


@pytest.mark.parametrize(
    ("field", "value"),
    [("device", "yours"), ("runtime", "tflite"), ("runtime_version", "2"), ("threads", 4), ("precision", "int8"),
     ("batch", 8)],
)  # fmt: skip
def test_unlike_set_ups_are_refused_by_name(parts: list[Path], tmp_path: Path, field: str, value: Any) -> None:
    other = filled(tmp_path / "other", 5, **{field: value})
    with pytest.raises(TableError, match=f"{field}: {getattr(SETUP, field)} / {value}") as caught:
        merge_tables([*parts, other], tmp_path / "all")
    assert str(other) in caught.value.where
    assert not (tmp_path / "all").exists()


def test_published_and_measured_tables_stay_apart(parts: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "published"
    open_table(other, SETUP, Origin("published", "Somebody", "MIT", "ofa"))
    with pytest.raises(TableError, match="origin: measured by hwnas / published by Somebody"):
        merge_tables([parts[0], other], tmp_path / "all")
    merge_tables([other, other], tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == other.read_bytes()


def test_a_cut_line_is_left_out_with_a_notice_and_the_file_stays(parts: list[Path], tmp_path: Path) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-5])
    before = parts[1].read_bytes()
    merged = merge_tables(parts, tmp_path / "all")
    assert "cut short" in merged.notices[0]
    assert "own1" not in merged.table.spaces
    assert parts[1].read_bytes() == before


def test_a_damaged_line_is_named(parts: list[Path], tmp_path: Path) -> None:
    lines = parts[1].read_text().splitlines()
    lines[2] = lines[2][:-7]
    parts[1].write_text("\n".join(lines) + "\n")
    with pytest.raises(TableError, match="damaged") as caught:
        merge_tables(parts, tmp_path / "all")
    assert caught.value.where == f"{parts[1]}:3"
    assert not (tmp_path / "all").exists()


def test_no_file_is_overwritten(parts: list[Path]) -> None:
    before = [path.read_bytes() for path in parts]
    with pytest.raises(TableError, match="stands there already"):
        merge_tables(parts, parts[2])
    assert [path.read_bytes() for path in parts] == before


def test_a_failed_write_leaves_nothing(parts: list[Path], tmp_path: Path, fill_disk: Callable[[], None]) -> None:
    before = sorted(tmp_path.iterdir())

    fill_disk()
    with pytest.raises(TableError, match="No space left"):
        merge_tables(parts, tmp_path / "all")
    assert sorted(tmp_path.iterdir()) == before


def test_a_table_of_format_1_becomes_one_of_format_2(parts: list[Path], tmp_path: Path) -> None:
    old = without_seals(parts[0].read_bytes()).replace(b'"hwnas_table": 2', b'"hwnas_table": 1')
    parts[0].write_bytes(old)
    merged = merge_tables(parts[:1], tmp_path / "new")
    assert json.loads((tmp_path / "new").read_text().splitlines()[0])["hwnas_table"] == 2
    assert content(merged.table) == content(read_table(parts[0]))
