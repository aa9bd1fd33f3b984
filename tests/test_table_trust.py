"""Tables that were damaged, or hold what cannot be: no number is wrong in silence, every error is a table's own."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.console.results import show_findings
from hwnas.errors import DiskError, HwnasError, RunError, TableError
from hwnas.io.checksum import CHECKSUM_KEY
from hwnas.io.resources import shipped_folder
from hwnas.latency.building.model_files import ModelFile, make_files
from hwnas.latency.linting.findings import finding
from hwnas.latency.linting.lint import lint_tables
from hwnas.latency.model import LatencyModel
from hwnas.latency.published import import_tables
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.energy.meter import Energy
from hwnas.measure.memory import Memory
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.table_lines import TABLE_FORMAT, RowKey, encoded, read_line, subject_of, without_seals
from hwnas.measure.timing import Measurement
from hwnas.network import Network, lower
from hwnas.ops.conv import Conv
from hwnas.pipeline import bench_space, check
from hwnas.problem.cost_models import CostModels
from hwnas.runtimes import Setup
from hwnas.space import Space, read_space

SETUP = Setup("my board", "onnxruntime", "1.32.0")
SHIPPED = {  # table -> a space that it serves
    "xeon_tflite_fp32_1t": "digits",
    "xeon_tflite_fp32_1t_ofa224": "ofa_mobilenet_v3_224",
}


class Chain:
    def __init__(self, *links: tuple[Conv, tuple[int, ...]]) -> None:
        self.links = list(links)


def small(path: Path) -> Path:
    """A table with a line of each kind."""
    table, link = open_table(path, SETUP), (Conv(3, 8), (3, 8, 8))
    taken = Measurement((1000.5, 1100.25, 990.0), {"reference_ns": [10.0, 11.0, 12.0], "load": [0.5, 0.5]})
    table.append_overhead(Measurement((300.5,)), 143)
    table.append_row(*link, taken, 540)
    table.append_check(Chain(link, (Conv(8, 4), (8, 8, 8))), Measurement((2800.0,)))
    table.append_energy({"overhead": True}, Energy((0.5,), {"error": 0.01}))
    table.append_memory({"network": [["conv", {}, [3, 8, 8]]]}, Memory(1.9))
    table.append_space("digits", "digits")
    return path


def everything(table: LatencyTable) -> list[Any]:
    """All that a table holds, conditions included."""
    kept: list[dict[Any, Any]] = [table.rows, table.checks, table.energy, table.memory]
    return [
        table.setup, table.origin, table.overhead, table.overhead_bytes, table.spaces, table.file_bytes,
        table.check_bytes, *([(key, value, dict(value.conditions)) for key, value in part.items()] for part in kept),
    ]  # fmt: skip


# --- one bit ---


@pytest.fixture(autouse=True)
def _nothing_is_killed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_no_single_bit_that_flips_gives_another_number_in_silence(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    content, whole = path.read_bytes(), everything(read_table(path))
    places = random.Random(0).sample(range(8 * len(content)), 700)
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            table = read_table(path)
        except TableError:
            continue
        assert table.notices or everything(table) == whole, f"bit {place % 8} of byte {place // 8}"


def test_every_line_has_a_checksum_and_those_of_earlier_versions_are_read_without(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    assert all(CHECKSUM_KEY in json.loads(line) for line in path.read_bytes().splitlines())
    whole = everything(read_table(path))
    earlier = without_seals(path.read_bytes())
    assert not any(CHECKSUM_KEY in json.loads(line) for line in earlier.splitlines())
    path.write_bytes(earlier)
    assert everything(read_table(path)) == whole
    assert without_seals(earlier) == earlier


def test_a_line_that_was_changed_is_found_by_lint_too(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    path.write_bytes(path.read_bytes().replace(b"1100.25", b"1100.35"))
    (one,) = lint_tables([path])
    assert (one.rule, one.where) == ("damage", f"{path}:3")
    with pytest.raises(TableError, match="checksum does not fit"):
        read_table(path)


# --- what is no table ---


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b'{"a": 1}', b"\x00\x01\xff" * 40, b"[" * 100_000, b"{}\n", b"7\n"])
def test_a_file_that_is_no_table_is_told_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TableError, match="no latency table") as caught:
        read_table(tmp_path / "t")
    assert "elete" not in caught.value.do
    with pytest.raises(TableError, match="no format that is known"):
        lint_tables([tmp_path / "t"])


def test_an_empty_file_is_told_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "t").touch()
    for read in (read_table, lambda path: lint_tables([path]), lambda path: merge_tables([path], tmp_path / "out")):
        with pytest.raises(TableError, match="the file is empty"):
            read(tmp_path / "t")


def test_a_table_of_a_newer_format_tells_which_one_and_asks_for_a_newer_version(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"hwnas_table": 2', b'"hwnas_table": 3'))
    with pytest.raises(
        TableError, match=f"format 3, this version of hwnas reads up to format {TABLE_FORMAT}"
    ) as caught:
        read_table(path)
    assert "pip install --upgrade hwnas" in caught.value.do
    assert [(one.rule, one.severity) for one in lint_tables([path])] == [("format", "error")]
    assert "elete" not in lint_tables([path])[0].do


# --- any value in any place ---

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**400, -1, 0, 1e300, 1e-300, float("inf"), "\ud800", "a\0b", 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places_in(value: Any, trail: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield trail
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places_in(one, (*trail, name))


def replaced(value: Any, trail: tuple[Any, ...], by: Any) -> Any:
    if not trail:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[trail[0]] = replaced(value[trail[0]], trail[1:], by)
    return copy


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), odd=ODD)
def test_any_value_in_any_place_is_read_or_refused_as_a_table(tmp_path: Path, data: st.DataObject, odd: Any) -> None:
    path = tmp_path / "t.jsonl"
    path.unlink(missing_ok=True)
    lines = [json.loads(line) for line in without_seals(small(path).read_bytes()).splitlines()]
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = replaced(lines[number], data.draw(st.sampled_from(list(places_in(lines[number])))), odd)
    path.write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode())
    errors = [one for one in _linted(path) if one.severity == "error"]
    merged = tmp_path / "merged"
    merged.unlink(missing_ok=True)
    try:
        table = read_table(path)
        merge_tables([path], merged)
    except TableError:
        return
    assert not [one for one in errors if one.rule in ("damage", "format", "no-duration")]
    assert everything(read_table(merged)) == everything(table)
    try:
        LatencyModel.of(table)
    except TableError:
        return


def _linted(path: Path) -> list[Any]:
    try:
        return lint_tables([path])
    except HwnasError:
        return []


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('{"op": "conv", "knobs": {}, "input": [1, 8, 8], "rounds_ns": [[1, 2]], "conditions": {}}', "`rounds_ns"),
        ('{"op": "conv", "knobs": {}, "input": [1, 8, 8], "rounds_ns": [1e999], "conditions": {}}', "`rounds_ns"),
        ('{"op": "conv", "knobs": {}, "input": [1, 8, 8], "rounds_ns": [1e300], "conditions": {}}', "`rounds_ns`"),
        ('{"op": "conv", "knobs": {"kernel": 1e999}, "input": [1], "rounds_ns": [1], "conditions": {}}', "`knobs`"),
        ('{"op": "conv", "knobs": {}, "input": [1, 8, 8], "rounds_ns": [1], "conditions": {"reference_ns": "x"}}',
         "`conditions.reference_ns`"),
        ('{"op": "conv", "knobs": {}, "input": [1, 8, 8], "rounds_ns": [1], "conditions": {}, "file_bytes": "x"}',
         "`file_bytes`"),
        (f'{{"op": "conv", "knobs": {{}}, "input": [1, 8, 8], "rounds_ns": {"[" * 9000}', "nested too deeply"),
        ('{"network": [["conv", {}]], "rounds_ns": [1], "conditions": {}}', "`network[0]`"),
        ('{"space": {"name": "digits", "reference": "a\\u0000b"}}', "`space.reference`"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_line_and_its_field(tmp_path: Path, line: str, field: str) -> None:
    path = small(tmp_path / "t.jsonl")
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert caught.value.where == f"{path}:8"
    assert field in caught.value.met
    assert [(one.severity, one.where) for one in lint_tables([path])] == [("error", f"{path}:8")]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    for line in small(tmp_path / "t.jsonl").read_bytes().splitlines(keepends=True)[1:]:
        assert encoded(json.loads(line)) != line, "a seal is no part of what is sealed"
        assert read_line(line).subject == subject_of(json.loads(line))


# --- absurd rows ---


@pytest.fixture(scope="module")
def spaces() -> dict[str, Space]:
    return {name: read_space(shipped_folder("search_spaces") / f"{name}.yaml") for name in set(SHIPPED.values())}


def networks(space: Space) -> list[Network]:
    rng = random.Random(0)
    ends = [space.smallest(), space.largest()]
    return [lower(space, one) for one in [*ends, *(space.random(rng) for _ in range(6))]]


@pytest.mark.parametrize("name", SHIPPED)
def test_one_absurd_row_is_refused_or_moves_predictions_its_own_way(
    name: str, spaces: dict[str, Space], tmp_path: Path
) -> None:
    path = shipped_folder("latency_tables") / f"{name}.jsonl"
    every, rng = networks(spaces[SHIPPED[name]]), random.Random(1)
    before = [LatencyModel.of(read_table(path)).predict_ms(network) for network in every]
    whole, refused = read_table(path), list[tuple[RowKey, TableError]]()
    for factor in (1000.0, 0.001):
        for key in rng.sample(list(whole.rows), 3):
            table = replace(whole, rows=dict(whole.rows))
            row = table.rows[key]
            table.rows[key] = Measurement(tuple(ns * factor for ns in row.rounds_ns), row.conditions)
            try:
                model = LatencyModel.of(table)
            except TableError as error:
                refused.append((key, error))
                continue
            estimates = [model.predict(network) for network in every]
            for estimate, ms in zip(estimates, before, strict=True):
                assert 0 < estimate.low_ms <= estimate.ms <= estimate.high_ms
                assert (estimate.ms - ms) * (factor - 1) >= -0.05 * ms * abs(factor - 1), (factor, key)
    assert refused
    for key, error in refused:
        assert f"{key[0]} " in error.met
        assert "hwnas bench lint" in error.do


def test_an_absurd_row_is_an_error_of_lint_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = (shipped_folder("latency_tables") / "xeon_tflite_fp32_1t.jsonl").read_bytes().splitlines()
    for number in (20, 60, 100):
        row = json.loads(lines[number - 1])
        row["rounds_ns"] = [1000 * ns for ns in row["rounds_ns"]]
        path.write_bytes(b"\n".join([*lines[: number - 1], json.dumps(row).encode(), *lines[number:]]) + b"\n")
        errors = [one for one in lint_tables([path]) if one.severity == "error"]
        assert [one.where for one in errors] == [f"{path}:{number}"]
        with pytest.raises(TableError, match="1 time cannot be") as caught:
            LatencyModel.of(read_table(path))
        assert errors[0].what.partition(": ")[2] in caught.value.met


def test_whole_networks_and_overheads_that_cannot_be_are_blamed_themselves(tmp_path: Path) -> None:
    whole = read_table(shipped_folder("latency_tables") / "xeon_tflite_fp32_1t.jsonl")
    assert whole.overhead is not None
    for factor in (1000.0, 0.001):
        key, check = next(iter(whole.checks.items()))
        scaled = Measurement(tuple(ns * factor for ns in check.rounds_ns), check.conditions)
        with pytest.raises(TableError, match="1 time cannot be: the network of"):
            LatencyModel.of(replace(whole, checks={**whole.checks, key: scaled}))
    slow = Measurement(tuple(ns * 1e5 for ns in whole.overhead.rounds_ns), whole.overhead.conditions)
    with pytest.raises(TableError, match="1 time cannot be: overhead"):
        LatencyModel.of(replace(whole, overhead=slow))


@pytest.mark.parametrize("path", sorted(shipped_folder("latency_tables").glob("*.jsonl")), ids=lambda path: path.stem)
def test_no_shipped_table_holds_what_cannot_be(path: Path) -> None:
    LatencyModel.of(read_table(path))
    assert not [one for one in lint_tables([path]) if one.severity == "error"]


# --- who reads, does not write; who writes, looks first ---


def test_only_who_appends_mends_the_end_of_a_file(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-9]):
        path.write_bytes(content)
        table = open_table(path, SETUP)
        read_table(path)
        lint_tables([path])
        assert path.read_bytes() == content
        table.append_space("other", "other")
        assert "other" in read_table(path).spaces
        assert not read_table(path).notices


def test_what_a_study_was_searched_with_does_not_change_by_a_checksum(tmp_path: Path) -> None:
    path = small(tmp_path / "t.jsonl")
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_bytes(without_seals(path.read_bytes()))
    sealed, plain = (CostModels(read_table(one), cast("LatencyModel", None)).digest for one in (path, earlier))
    assert sealed == plain == hashlib.sha256(earlier.read_bytes()).hexdigest()[:12]


@pytest.mark.parametrize("place", ["", "file/t.jsonl", "n" * 300])
def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / place
    for work in (
        lambda: merge_tables([tmp_path / "missing"], out),
        lambda: import_tables([tmp_path / "missing"], out, format="ofa"),
        lambda: bench_space("missing", runtime="onnxruntime", table=out),
    ):
        with pytest.raises(TableError) as caught:
            work()
        assert caught.value.where == str(out)
    with pytest.raises(RunError, match="the page cannot be written"):
        check("xeon_tflite_fp32_1t", plot=out)


def test_a_pipe_is_no_table_and_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t")
    with pytest.raises(TableError, match="a regular file is needed"):
        read_table(tmp_path / "t")
    with pytest.raises(TableError):
        open_table(tmp_path / "t", SETUP)


def test_published_files_of_odd_values_are_refused_as_tables(tmp_path: Path) -> None:
    key = "expanded_conv-input:8x8x{}-output:8x8x8-expand:8-kernel:3-stride:1-idskip:1-se:0-hs:0"
    contents = {
        "ofa": [f"{key.format(0)}: {{mean: 1.0}}\n", f"{key.format('9' * 5000)}: {{mean: 1.0}}\n", "[" * 3000],
        "fbnet": [
            '{"op_type": "FC", "input_shapes": [[1e999]], "runtime_us_p50": 1}\n',
            '{"op_type": "FC", "input_shapes": [], "runtime_us_p50": ' + "9" * 400 + "}\n",
            '{"op_type": ' + "[" * 100_000,
        ],
        "tfnas": ['{"a": ' + "[" * 100_000, '{"a": {"b": [1]}}'],
        "tinynas": ["{Regular,1," + "9" * 5000 + ",7,7,16,1,1,0} 1\n"],
    }
    for format, texts in contents.items():
        for text in texts:
            (tmp_path / "f").write_text(text)
            with pytest.raises(TableError):
                lint_tables([tmp_path / "f"], format)
    (tmp_path / "f").write_text(f"{key.format(8)}: {{mean: 1.0, std: .inf}}\n")
    (row,) = import_tables([tmp_path / "f"], tmp_path / "out", format="ofa").table.rows.values()
    assert row.low_ms == 1.0


def test_errors_of_lint_come_first_and_warnings_are_folded(capsys: pytest.CaptureFixture[str]) -> None:
    warnings = [finding("spread", f"t:{line}", f"row {line}") for line in range(2, 40)]
    show_findings([*warnings, finding("damage", "t:50", "broken")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "t:50: error: broken"
    assert lines[-1] == "1 error, 38 warnings; --verbose spells out all of them"
    assert sum(line.startswith("t:") for line in lines) == 2
    assert "    and 37 more of the kind spread" in lines
    show_findings(warnings, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("t:") for line in lines) == 38
    assert lines[-1] == "0 errors, 38 warnings"


def test_a_full_disk_is_not_blamed_on_operators(tmp_path: Path) -> None:
    def export(module: Any, input_shape: Any, path: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    target = ModelFile("conv", Conv(3, 8).module, (3, 8, 8))
    with pytest.raises(DiskError, match="cannot be written \\(No space left on device\\)") as caught:
        make_files([target, target], SETUP, ".onnx", export, tmp_path)
    assert str(tmp_path) in caught.value.where
    assert "operator" not in caught.value.do
