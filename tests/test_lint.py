"""Linting tables: everything planted is found, where it stands, and a clean table is left in peace."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError, TableError
from hwnas.latency.linting.findings import LINT_RULES, Finding
from hwnas.latency.linting.lint import lint_tables
from hwnas.latency.model import LatencyModel
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.table import open_table, read_table
from hwnas.measure.table_lines import without_seals
from hwnas.measure.timing import Measurement
from hwnas.ops.conv import Conv
from hwnas.ops.mbconv import MBConv
from hwnas.runtimes.setup import Setup

SETUP = Setup("my board", "onnxruntime", "1.32.0")
SHAPE = (16, 14, 14)


def samples(ms: float, seed: int, spread: float = 0.01, **conditions: Any) -> Measurement:
    rng = random.Random(seed)
    return Measurement(tuple(ms * 1e6 * rng.uniform(1 - spread, 1 + spread) for _ in range(20)), conditions)


def table(path: Path, setup: Setup = SETUP, seed: int = 0) -> Path:
    """A clean table: blocks of three kernels, expansions, widths and resolutions, more work taking more time."""
    made = open_table(path, setup)
    made.append_overhead(samples(0.01, seed))
    made.append_space("one", "one.yaml")
    number = seed * 1000
    for kernel in (3, 5, 7):
        for expand in (3, 6):
            for size in (7, 14):
                for out in (16, 24):
                    number += 1
                    ms = 0.1 * (1 + kernel / 10) * expand * size * (1 + out / 100)
                    made.append_row(MBConv(16, out, kernel, expand), (16, size, size), samples(ms, number))
    path.write_bytes(without_seals(path.read_bytes()))  # lines can be edited
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return table(tmp_path / "clean.jsonl")


def found(findings: list[Finding]) -> list[tuple[str, int]]:
    return [(one.rule, int(one.where.rpartition(":")[2])) for one in findings]


def planted(path: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change one line, counted from 1."""
    lines = path.read_text().splitlines()
    parsed = json.loads(lines[line - 1])
    change(parsed)
    lines[line - 1] = json.dumps(parsed)
    path.write_text("\n".join(lines) + "\n")


def test_a_clean_table_is_left_in_peace(clean: Path) -> None:
    before = clean.read_bytes()
    assert lint_tables([clean]) == []
    assert clean.read_bytes() == before


@pytest.mark.parametrize("bad", [0, -3.5, float("nan"), float("inf"), -1e-9])
@pytest.mark.parametrize("line", [2, 7])
def test_values_that_are_no_durations(clean: Path, bad: float, line: int) -> None:
    planted(clean, line, lambda row: row["rounds_ns"].__setitem__(4, bad))
    assert found(lint_tables([clean])) == [("no-duration", line)]


def test_everything_is_told_beyond_the_first_damaged_line(clean: Path) -> None:
    lines = clean.read_bytes().splitlines()
    lines[2] = b"{not json"
    lines[5] = b"\xff\xfe"
    lines[7] = b'{"op": "conv", "knobs": {}, "input": [1], "rounds_ns": [], "conditions": {}}'
    lines[8] = b'{"op": "conv", "knobs": {}, "input": [1], "rounds_ns": ["x"], "conditions": {}}'
    lines[9] = b'{"space": {"name": "digits"}}'
    lines[10] = b'{"op": "conv", "knobs": {}, "input": [], "rounds_ns": [1], "conditions": {"reference_ns": [0]}}'
    lines[11] = b"[]"
    clean.write_bytes(b"\n".join(lines) + b"\n" + lines[12][:-9])
    findings = [pair for pair in found(lint_tables([clean])) if pair[0] != "faster-though-larger"]
    assert findings == [("damage", n) for n in (3, 6, 8, 9, 10, 11, 12)] + [("cut", len(lines) + 1)]


def test_a_first_line_that_is_no_set_up(clean: Path) -> None:
    for first, rule in (("{}", "damage"), ("", "damage"), ('{"hwnas_table": 9, "setup": {}}', "format")):
        lines = clean.read_text().splitlines()
        clean.write_text("\n".join([first, *lines[1:]]) + "\n")
        (one,) = lint_tables([clean])
        assert found([one]) == [(rule, 1)]
        assert "elete" not in one.do


@pytest.mark.parametrize("name", ["kernel", "expand", "out_channels", "input"])
def test_larger_but_faster(tmp_path: Path, name: str) -> None:
    small, large = (16, 7, 7), (16, 14, 14)
    shapes = [small, large] if name == "input" else [small, small]
    knobs = {"kernel": 3, "expand": 3, "out_channels": 24}
    operators = [MBConv(16, stride=1, **{**knobs, name: value}) for value in {  # type: ignore[arg-type]
        "kernel": (3, 5), "expand": (3, 6), "out_channels": (24, 32)}[name]] if name != "input" else [
        MBConv(16, 24, 3, 3)] * 2  # fmt: skip
    for less, expected in ((0.5, 1), (0.05, 1), (0.005, 0), (-0.5, 0)):
        path = tmp_path / f"{less}.jsonl"
        made = open_table(path, SETUP)
        for number, (operator, shape) in enumerate(zip(operators, shapes, strict=True)):
            made.append_row(operator, shape, samples(1 - less * number, number))
        findings = lint_tables([path])
        assert found(findings) == [("faster-though-larger", 3)] * expected, less
        assert all(one.severity == "warning" for one in findings)


def test_the_rows_own_spread_says_what_is_beyond_noise(tmp_path: Path) -> None:
    for spread, expected in ((0.005, 1), (0.08, 0)):
        made = open_table(tmp_path / f"{spread}", SETUP)
        made.append_row(MBConv(16, 24, 3, 3), SHAPE, samples(1, 1, spread))
        made.append_row(MBConv(16, 24, 5, 3), SHAPE, samples(0.93, 2, spread))
        assert len(lint_tables([made.path])) == expected
    made = open_table(tmp_path / "unknown", SETUP)
    for number, ms in enumerate((1, 0.96, 0.9)):
        made.append_row(MBConv(16, 24, 3 + 2 * number, 3), SHAPE, Measurement((ms * 1e6,)))
    assert found(lint_tables([made.path])) == [("faster-though-larger", 4)]


def test_operators_that_differ_in_more_than_size_are_not_compared(tmp_path: Path) -> None:
    made = open_table(tmp_path / "t", SETUP)
    made.append_row(MBConv(16, 24, 3, 3, se=True), SHAPE, samples(1, 1))
    made.append_row(MBConv(16, 24, 5, 3), SHAPE, samples(0.5, 2))
    made.append_row(MBConv(16, 24, 7, 3, stride=2), SHAPE, samples(0.1, 3))
    made.append_row(MBConv(16, 16, 3, 6), SHAPE, samples(1, 4))
    made.append_row(MBConv(16, 24, 3, 6), SHAPE, samples(0.8, 5))  # one of the two has a shortcut
    made.append_row(Conv(16, 24, 7), SHAPE, samples(0.05, 6))
    assert lint_tables([made.path]) == []


def test_drift_between_sittings_is_not_taken_for_a_finding(tmp_path: Path) -> None:
    made = open_table(tmp_path / "t", SETUP)
    made.append_row(MBConv(16, 24, 3, 3), SHAPE, samples(2, 1, reference_ns=[200.0] * 20))
    made.append_row(MBConv(16, 24, 5, 3), SHAPE, samples(1.2, 2, reference_ns=[100.0] * 20))
    assert lint_tables([made.path]) == []


def test_copies_in_one_file(clean: Path) -> None:
    lines = clean.read_text().splitlines()
    source = json.loads(lines[6])
    planted(clean, 12, lambda row: row.update(rounds_ns=source["rounds_ns"]))
    findings = [one for one in lint_tables([clean]) if one.rule != "faster-though-larger"]
    assert found(findings) == [("copied", 12)]
    assert f"{clean}:7" in findings[0].what


def test_copies_from_the_table_of_another_set_up(clean: Path, tmp_path: Path) -> None:
    other = table(tmp_path / "other.jsonl", replace(SETUP, device="yours"), seed=1)
    assert lint_tables([clean, other]) == []
    rows = clean.read_text().splitlines()
    with other.open("a") as file:
        file.write(rows[4].replace('"kernel": 3', '"kernel": 9') + "\n")
        file.write(rows[5].replace('"kernel": 3', '"kernel": 11') + "\n")
    findings = [one for one in lint_tables([clean, other]) if one.rule != "faster-though-larger"]
    assert found(findings) == [("copied", 28), ("copied", 29)]
    assert all(one.where.startswith(str(other)) and str(clean) in one.what for one in findings)
    planted(other, 6, lambda row: row.update(rounds_ns=json.loads(rows[5])["rounds_ns"]))
    assert ("copied", 6) in found(lint_tables([clean, other]))


def test_a_merge_is_no_copy(clean: Path, tmp_path: Path) -> None:
    merge_tables([clean, clean], tmp_path / "merged")
    (one,) = lint_tables([clean, tmp_path / "merged"])
    assert (one.rule, one.severity) == ("same", "warning")
    assert "25 of 25" in one.what
    assert lint_tables([clean, clean]) == []


def test_duplicates_noise_and_disturbed_samples(clean: Path) -> None:
    lines = clean.read_text().splitlines()
    clean.write_text("\n".join([*lines, lines[4]]) + "\n")
    assert found(lint_tables([clean])) == [("duplicate", len(lines) + 1)]
    planted(clean, 2, lambda row: row["conditions"].update(disturbed=3))
    planted(clean, 4, lambda row: row["conditions"].update(disturbed=2))
    planted(clean, 5, lambda row: row.update(rounds_ns=[1e6, 1.3e6, 1e6, 1.3e6]))
    findings = [pair for pair in found(lint_tables([clean])) if pair[0] != "faster-though-larger"]
    assert findings == [("disturbed", 2), ("spread", 5), ("duplicate", len(lines) + 1)]


def test_a_table_without_rows_is_told(clean: Path) -> None:
    """A kit leaves one that could not lock its board."""
    clean.write_text(clean.read_text().splitlines()[0] + "\n")
    assert found(lint_tables([clean])) == [("empty", 1)]


def test_rows_that_were_taken_while_the_machine_was_throttled_are_told(clean: Path) -> None:
    told = {"throttled_rounds": 2, "throttled": {"cooling by thermal-cpufreq-0": 1, "under-voltage": 1}}
    planted(clean, 2, lambda row: row["conditions"].update(throttled_rounds=0))
    planted(clean, 4, lambda row: row["conditions"].update(told))
    (one,) = [finding for finding in lint_tables([clean]) if finding.rule != "faster-though-larger"]
    assert (one.rule, one.severity, one.where) == ("throttled", "warning", f"{clean}:4")
    assert "2 of 20 rounds" in one.what
    assert "thermal-cpufreq-0, under-voltage" in one.what
    assert LatencyModel.of(read_table(clean)).origin.endswith("; 1 of them taken while the machine was throttled")


def test_every_finding_says_where_what_why_and_what_to_do(clean: Path) -> None:
    for line, bad in ((3, 0), (5, -1), (7, 1)):
        planted(clean, line, lambda row, bad=bad: row.update(rounds_ns=[bad, 2]) if "op" in row else None)  # type: ignore[misc]
    findings = lint_tables([clean])
    assert findings
    for one in findings:
        assert one.where.startswith(f"{clean}:")
        assert one.what
        assert (one.severity, one.why, one.do) == (
            LINT_RULES[one.rule].severity,
            LINT_RULES[one.rule].why,
            LINT_RULES[one.rule].do,
        )


# --- published files ---


def test_each_negative_latency_of_tf_nas_is_caught(shared_data: Path) -> None:
    path = shared_data / "latency" / "tfnas_cpu_ms_with_negatives.json.gz"
    raw = json.loads(gzip.decompress(path.read_bytes()))
    negative = [f"{key}[{name}]" for key, row in raw.items() if key != "base" for name, ms in row.items() if ms <= 0]
    errors = [one for one in lint_tables([path]) if one.severity == "error"]
    assert [one.what.split(":")[0] for one in errors if one.rule == "no-duration"] == negative
    assert len(negative) == 84
    assert {one.where for one in errors} == {f"{path}:1"}
    (other,) = [one for one in errors if one.rule != "no-duration"]  # 0.4 us where its neighbours take 35 and more
    assert other.what.startswith("MBInvertedResBlock_7_192_0_192_k5_s1_swish[41]: 0.0004135 ms")


def test_lines_of_published_json_are_counted(tmp_path: Path) -> None:
    text = '{\n "base": 3,\n "MBInvertedResBlock_7_8_0_8_k3_s1_relu": {\n  "8": 0.5,\n  "9": -1,\n  "16": NaN}}\n'
    (tmp_path / "lut.json").write_text(text)
    assert found(lint_tables([tmp_path / "lut.json"])) == [("no-duration", 5), ("no-duration", 6)]


def test_the_v100_tables_marks_are_no_findings(shared_data: Path) -> None:
    path = shared_data / "latency" / "tinynas_v100_conv_fp32.txt.gz"
    assert {one.rule for one in lint_tables([path])} == {"faster-though-larger"}


YAML = """\
expanded_conv-input:7x7x16-output:7x7x16-expand:48-kernel:3-stride:1-idskip:1-se:0-hs:0: {mean: 1.0, count: 3}
expanded_conv-input:7x7x16-output:7x7x16-expand:48-kernel:5-stride:1-idskip:1-se:0-hs:0: {mean: 0.9, count: 3}
expanded_conv-input:7x7x16-output:7x7x16-expand:48-kernel:7-stride:1-idskip:1-se:0-hs:0: {mean: -.inf, count: 3}
expanded_conv-input:7x7x16-output:7x7x16-expand:48-kernel:3-stride:1-idskip:1-se:0-hs:0: {mean: 1.0, count: 3}
"""


def test_a_published_yaml(tmp_path: Path) -> None:
    path = tmp_path / "lut.yaml"
    path.write_text(YAML)
    for format in (None, "ofa"):
        assert sorted(found(lint_tables([path], format))) == [
            ("duplicate", 4), ("faster-though-larger", 2), ("no-duration", 3),
        ]  # fmt: skip


def test_published_numbers_taken_from_another_file(tmp_path: Path) -> None:
    def written(name: str, seed: int, copied: int) -> Path:
        rng, same = random.Random(seed), random.Random(99)
        common = [same.random() for _ in range(20)]
        lines = [
            f"{{Regular,1,16,7,7,{16 + n},1,1,0}} {n + (common[n] if n < copied else rng.random()):.6f}\n"
            for n in range(20)
        ]
        (tmp_path / name).write_text("".join(lines).replace("} 0.", "} 0.1"))
        return tmp_path / name

    one, other, third = written("a", 1, 20), written("b", 2, 15), written("c", 3, 4)
    rules = Counter(one.rule for one in lint_tables([one, other, third]))
    assert rules["copied"] == 1
    assert lint_tables([one, third]) == []


def test_what_cannot_be_linted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(TableError, match="no format that is known"):
        lint_tables([tmp_path / "notes.txt"])
    with pytest.raises(TableError, match="cannot be unpacked"):
        lint_tables([tmp_path / "cut.gz"])
    with pytest.raises(TableError, match="cannot be read"):
        lint_tables([tmp_path])
    with pytest.raises(ConfigError, match="no format `of`"):
        lint_tables([tmp_path / "notes.txt"], "of")
