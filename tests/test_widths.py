"""What commands print fits the terminal that it is printed on, is whole in a pipe, and needs no UTF-8."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from hwnas.cli import streams
from hwnas.report import fitting
from hwnas.report.halving import halving_table
from hwnas.report.scores import ProxyScore, Scored, ScoredNetwork, score_table
from hwnas.report.tables import costs_table, front_table
from hwnas.report.validation.table_check import check_table
from hwnas.words import counted
from tests.helpers.synthetic_checks import synthetic as checked
from tests.helpers.synthetic_report import synthetic_facts

FACTS = synthetic_facts(count=40)
OPERATORS = [
    ("stem", "conv: kernel 3, stride 2, in_channels 3, out_channels 16", 1000, 2_000_000, 2048, 0.05),
    ("stage1.block1", "mbconv: kernel 5, expand 6, in_channels 16, out_channels 24", 90_000, 812, 20480, 0.5),
]
SCORED = Scored(
    "ofa_mobilenet_v3", {"naswot": "naswot", "synflow": "synflow", "zen": "zen"},
    (ScoredNetwork("ab" * 6, {}, 1, {n: ProxyScore(1234.5, None, 2.0) for n in ("naswot", "synflow", "zen")}),),
)  # fmt: skip
TABLES: Mapping[str, Callable[[], Table]] = {
    "front": lambda: front_table(FACTS.tiers[0]),
    "front of tested picks": lambda: front_table(replace(FACTS.tiers[1], points=())),
    "costs": lambda: costs_table(OPERATORS),
    "scores": lambda: score_table(SCORED, 30),
    "check": lambda: check_table(checked()),
    "halving": lambda: halving_table("edge", ()),
}


def shown(table: Table, width: int) -> str:
    to = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    fitting.print_table(to, table)
    return to.file.getvalue()


def words_of(table: Table) -> list[str]:
    cells = [cell for column in table.columns for cell in column.cells]
    plain = (getattr(cell, "plain", str(cell)) for cell in cells)
    return [word for cell in plain if cell != "\N{EN DASH}" for word in cell.split()]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("width", [40, 80])
def test_a_table_fits_a_terminal_and_loses_nothing(name: str, width: int) -> None:
    table = TABLES[name]()
    text = shown(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert all(word in text for word in words_of(table)), "whole words, not cut ones"


@pytest.mark.parametrize("name", ["front", "front of tested picks", "costs", "check"])
def test_a_table_that_does_not_fit_is_a_block_for_each_row(name: str) -> None:
    table = TABLES[name]()
    lines = shown(table, 40).splitlines()
    first = str(table.columns[0].header)
    assert sum(line.startswith(f"{first}: ") for line in lines) >= len(table.rows)


@pytest.mark.parametrize("name", TABLES)
def test_a_row_is_one_line_in_a_pipe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = TABLES[name]()
    caption = getattr(table.caption, "plain", "")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    fitting.print_table(fitting.console(), table)
    lines = sys.stdout.getvalue().splitlines()  # type: ignore[attr-defined]
    rows = [" ".join(getattr(cell, "plain", str(cell)) for cell in row) for row in zip(
        *(column.cells for column in table.columns), strict=True)]  # fmt: skip
    for row in rows:
        assert any(line.split() == row.split() for line in (line.replace("│", " ") for line in lines)), row
    assert not caption or caption in lines


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_sign_can_be_printed_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    streams.write_always()
    print("≈ 12.4 µs … 2.30 × 10¹⁹ ± 3 · a–b ≤ 7 → é 猫 \udcff", flush=True)  # noqa: RUF001
    text = raw.getvalue().decode(encoding)
    if encoding == "ascii":
        assert text == "~ 12.4 us ... 2.30 x 10^19 +/- 3 - a-b <= 7 -> e ? ?\n"
    else:
        assert "µs" in text


def test_a_command_prints_where_there_is_ascii_alone() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "hwnas.cli", "show", "digits"]
    done = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    done.stdout.decode("ascii")


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 errors"), (1, "1 error"), (2, "2 errors"), (1000, "1,000 errors")]
)
def test_one_thing_is_not_several(number: int, words: str) -> None:
    assert counted(number, "error") == words


@pytest.mark.parametrize("command", [["--help"], ["show", "--help"], ["bench", "--help"]])
def test_help_fits_forty_columns_and_cuts_no_word(command: list[str]) -> None:
    environment = os.environ | {"COLUMNS": "40", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "hwnas.cli", *command], check=True, capture_output=True, text=True, env=environment
    )
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "…" not in done.stdout


def test_latencies_below_a_tenth_of_a_millisecond_are_in_microseconds_in_every_table() -> None:
    tier = FACTS.tiers[0]
    fast = [replace(p, scores={**p.scores, tier.latency.metric: 0.0412}, predicted_ms=0.0412) for p in tier.front]
    assert "41.2" in shown(front_table(replace(tier, front=tuple(fast))), 80)
    assert "50 µs" in shown(costs_table(OPERATORS), 120)
