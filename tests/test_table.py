"""Latency tables: what is appended is there, whatever happens to the process or the file."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import TableError
from hwnas.io.checksum import unsealed
from hwnas.measure.origin import Origin
from hwnas.measure.table import check_key, open_table, read_table, row_key
from hwnas.measure.table_lines import without_seals
from hwnas.measure.timing import Measurement
from hwnas.runtimes import Setup

SETUP = Setup("my board", "onnxruntime", "1.32.0")


@dataclass(frozen=True)
class Op:
    """A table asks of an operator its kind and its knobs, and nothing else."""

    kind: str
    knobs: dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """A table asks of a network its links, and nothing else."""

    links: list[tuple[Op, tuple[int, ...]]]


CONV, HEAD = Op("conv", {"width": 8, "act": "relu"}), Op("classifier", {"width": 10})
CHAIN = Chain([(CONV, (1, 8, 8)), (HEAD, (8, 8, 8))])


def samples(*ns: float) -> Measurement:
    return Measurement(ns, {"load": [0.5, 0.75]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a table with two rows, a check and the overhead."""
    path = tmp_path / "deep" / "table.jsonl"
    table = open_table(path, SETUP)
    table.append_overhead(samples(300.5))
    table.append_row(CONV, (1, 8, 8), samples(1000, 1100.5))
    table.append_row(HEAD, (8, 8, 8), samples(2000))
    table.append_check(CHAIN, samples(2800))
    return path


def test_what_was_appended_is_read_again(path: Path) -> None:
    table = open_table(path, SETUP)
    assert table.rows == {
        row_key(CONV, (1, 8, 8)): samples(1000, 1100.5),
        row_key(HEAD, (8, 8, 8)): samples(2000),
    }
    assert table.checks == {check_key(CHAIN): samples(2800)}
    assert table.overhead == samples(300.5)
    assert table.overhead.conditions == {"load": [0.5, 0.75]}
    assert table.setup == SETUP
    assert table.notices == ()


def test_a_key_is_the_operator_and_its_input() -> None:
    key = row_key(Op("mbconv", {"expand": 4, "se": True}), (8, 4, 4))
    assert key == row_key(Op("mbconv", {"se": True, "expand": 4.0}), [8, 4, 4])
    others = [
        ("mbconv", {"expand": 4, "se": False}),
        ("conv", {"expand": 4, "se": True}),
        ("mbconv", {"expand": 4.5, "se": True}),
    ]
    assert key not in {row_key(Op(*other), (8, 4, 4)) for other in others}
    assert key != row_key(Op("mbconv", {"expand": 4, "se": True}), (8, 2, 2))
    assert row_key(HEAD, (8, 8, 8)) == row_key(Op("classifier", {"width": 10, "dropout": 0.1}), (8, 8, 8))


def test_a_kill_at_any_byte_loses_at_most_the_line_in_hand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # for speed: nothing is killed here
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        table = open_table(path, SETUP)
        lines = whole[:cut].count(b"\n") - 1
        found = len(table.rows) + len(table.checks) + (table.overhead is not None)
        assert found == max(0, lines) or (found == lines + 1 and whole[cut : cut + 1] == b"\n")
        assert bool(table.notices) == (lines >= 0 and whole[:cut].splitlines()[-1] not in whole.splitlines())
        table.append_row(Op("new", {}), (1,), samples(5))
        again = read_table(path)
        assert again.rows == table.rows
        assert again.notices == ()


def test_unlike_set_ups_never_mix(path: Path) -> None:
    before = path.read_bytes()
    other = replace(SETUP, threads=4, runtime_version="1.33.0")
    with pytest.raises(TableError, match=r"runtime_version: 1\.32\.0 / 1\.33\.0; threads: 1 / 4") as caught:
        open_table(path, other)
    assert caught.value.where == str(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        b"{not json", b"[]", b"{}", b"7", b"\xff\xfe",
        b'{"op": "conv", "knobs": 3, "input": [1], "rounds_ns": [1], "conditions": {}}',
        b'{"network": [["conv", {}]], "rounds_ns": [1], "conditions": {}}',
        b'{"overhead": false, "rounds_ns": [1], "conditions": {}}',
        b'{"space": {"name": "digits"}}', b'{"space": "digits"}', b'{"space": {"name": 3, "reference": "digits"}}',
        b'{"overhead": true, "rounds_ns": [], "conditions": {}}',
        b'{"overhead": true, "rounds_ns": [1, -5], "conditions": {}}',
        b'{"overhead": true, "rounds_ns": [NaN], "conditions": {}}',
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_and_nothing_is_changed(path: Path, damage: bytes) -> None:
    lines = path.read_bytes().splitlines()
    lines[2] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    before = path.read_bytes()
    with pytest.raises(TableError, match="damaged") as caught:
        open_table(path, SETUP)
    assert caught.value.where == f"{path}:3"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "header",
    [
        "", "{}", '{"hwnas_table": 3, "setup": {}}', '{"hwnas_table": 1, "setup": {"cores": 2}}',
        json.dumps({"hwnas_table": 2, "setup": SETUP.as_dict(), "origin": {"kind": "guessed"}}),
        json.dumps({"hwnas_table": 2, "setup": SETUP.as_dict(), "origin": {"by": "hand"}}),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_not_taken_for_one(tmp_path: Path, header: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"{header}\nbuy milk\n")
    with pytest.raises(TableError) as caught:
        open_table(path, SETUP)
    assert caught.value.where == f"{path}:1"
    assert path.read_text() == f"{header}\nbuy milk\n"


def test_the_first_observation_stays(path: Path) -> None:
    table, before = open_table(path, SETUP), path.read_bytes()
    table.append_row(CONV, (1, 8, 8), samples(9))
    table.append_check(CHAIN, samples(9))
    table.append_overhead(samples(9))
    assert path.read_bytes() == before
    path.write_bytes(before + without_seals(before.splitlines(keepends=True)[2]).replace(b"1000", b"9999"))
    assert read_table(path).rows[row_key(CONV, (1, 8, 8))] == samples(1000, 1100.5)


def test_samples_that_are_no_durations_cannot_be_stored(path: Path) -> None:
    table, before = open_table(path, SETUP), path.read_bytes()
    with pytest.raises(ValueError, match="above 0"):
        table.append_row(Op("new", {}), (1,), samples(float("nan")))
    assert path.read_bytes() == before


def test_a_failed_write_leaves_a_whole_file(path: Path, fill_disk: Callable[[], None]) -> None:
    table, before = open_table(path, SETUP), path.read_bytes()

    fill_disk()
    with pytest.raises(TableError, match="No space left"):
        table.append_row(Op("new", {}), (1,), samples(5))
    assert path.read_bytes() == before


def test_reading_touches_nothing_and_a_read_only_table_can_be_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "truncate", refuse)
    for table in (read_table(path), open_table(path, SETUP)):
        assert len(table.rows) == 2
        assert not table.checks
        assert "cut short" in table.notices[0]
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["missing.jsonl", ""])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match="cannot be read") as caught:
        read_table(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_every_line_is_plain_json(path: Path) -> None:
    header, *lines = (unsealed(json.loads(line)) for line in path.read_text().splitlines())
    assert header == {"hwnas_table": 2, "setup": SETUP.as_dict()}
    assert [sorted(line)[:2] for line in lines] == [
        ["conditions", "overhead"], ["conditions", "input"], ["conditions", "input"], ["conditions", "network"],
    ]  # fmt: skip


def test_spaces_are_kept_and_written_once(path: Path) -> None:
    table = open_table(path, SETUP)
    table.append_space("digits", "digits")
    table.append_space("own", "old/own.yaml")
    written = path.read_bytes()
    table.append_space("digits", "digits")
    open_table(path, SETUP).append_space("own", "old/own.yaml")
    assert path.read_bytes() == written
    table.append_space("own", "new/own.yaml")
    assert read_table(path).spaces == table.spaces == {"digits": "digits", "own": "new/own.yaml"}
    assert read_table(path).rows == table.rows


def test_a_table_of_format_1_is_read_and_continued(path: Path) -> None:
    path.write_bytes(without_seals(path.read_bytes()).replace(b'"hwnas_table": 2', b'"hwnas_table": 1'))
    table = open_table(path, SETUP)
    assert (len(table.rows), table.spaces, table.origin) == (2, {}, Origin("measured"))
    table.append_space("digits", "digits")
    table.append_row(Op("new", {}), (1,), samples(5))
    assert len(open_table(path, SETUP).rows) == 3


def test_published_rows_and_measured_rows_never_mix(path: Path, tmp_path: Path) -> None:
    origin = Origin("published", "Somebody et al., 2020", "MIT", "ofa")
    other = tmp_path / "published.jsonl"
    open_table(other, SETUP, origin).append_row(CONV, (1, 8, 8), samples(7))
    assert read_table(other).origin == open_table(other, SETUP, origin).origin == origin
    with pytest.raises(TableError, match="published by Somebody"):
        open_table(other, SETUP)
    with pytest.raises(TableError, match="measured by hwnas"):
        open_table(path, SETUP, origin)
