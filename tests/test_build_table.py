"""Filling tables: every operator once, whatever interrupts it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hwnas.errors import ExportError, MissingExtra, TableError
from hwnas.export import FORMATS, Format
from hwnas.export.onnx import export_onnx
from hwnas.latency.building.table_builder import MeasureContext, build_table, plan_table
from hwnas.measure.table import LatencyTable, check_key, open_table, read_table, row_key
from hwnas.measure.timing import Timing
from hwnas.network import Network, lower, operators_of
from hwnas.ops import Operator, Shape
from hwnas.runtimes import RUNTIMES, RuntimeSpec, Setup, open_runtime
from hwnas.space import read_space

FAST = Timing(warm_up_ms=0, min_sample_ms=0.01, rounds=3, files_per_session=4, processes=0)
SETUP = Setup("my board", "fake", "1")


@pytest.fixture(autouse=True)
def _fake_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS.own, "fake", Format("fake", ".fake", "tests.fake_exporters:weights"))
    monkeypatch.setitem(RUNTIMES.own, "fake", RuntimeSpec("tests.none:none", ("fake",)))


@dataclass
class FakeRuntime:
    """Loads anything; `on_load` may object."""

    setup: Setup = SETUP
    on_load: Callable[[Path], None] = lambda path: None
    invoked: int = 0

    def load(self, path: Path) -> FakeRuntime:
        self.on_load(path)
        return self

    def invoke(self) -> None:
        self.invoked += 1

    def run(self, images: object) -> object:
        return images


@dataclass
class Exporter:
    """Writes the module's parameter count instead of a model, and remembers what it made."""

    made: list[Path] = field(default_factory=list)
    refuses: str = "nothing"

    def __call__(self, module: nn.Module, input_shape: Shape, path: Path) -> Path:
        assert not module.training
        if self.refuses in str(module):
            raise ExportError("no such operation", where="here", allowed="Others are", do="Change it")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(sum(p.numel() for p in module.parameters())))
        self.made.append(path)
        return path


@pytest.fixture(scope="module")
def operators(repository: Path) -> list[tuple[Operator, Shape]]:
    return list(operators_of(read_space(repository / "search_spaces" / "digits.yaml")))[:10]


@pytest.fixture(scope="module")
def network(repository: Path) -> Network:
    space = read_space(repository / "search_spaces" / "digits.yaml")
    return lower(space, space.smallest())


def built(
    operators: Sequence[tuple[Operator, Shape]], runtime: Any, export: Any, timing: Timing, path: Path, *,
    artifacts: Path, networks: Sequence[Network] = (), **more: Any,
) -> LatencyTable:  # fmt: skip
    return build_table(operators, networks, timing, path, MeasureContext(runtime, (export, export), artifacts, **more))


def test_every_operator_network_and_the_overhead_are_timed_once(
    tmp_path: Path, operators: list[tuple[Operator, Shape]], network: Network
) -> None:
    export, runtime, told = Exporter(), FakeRuntime(), list[tuple[int, int, str]]()
    arguments = (export, FAST, tmp_path / "t.jsonl")
    table = built(
        [*operators, *operators], runtime, *arguments, artifacts=tmp_path / "a", networks=[network, network],
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert list(table.rows) == [row_key(*link) for link in operators]
    assert list(table.checks) == [check_key(network)]
    assert table.overhead is not None
    assert len(export.made) == len(set(export.made)) == 13, "these and the reference"
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1] == (24, 24, "done")

    before, invoked = (tmp_path / "t.jsonl").read_bytes(), runtime.invoked
    built(operators, runtime, *arguments, artifacts=tmp_path / "a", networks=[network])
    assert (tmp_path / "t.jsonl").read_bytes() == before
    assert (runtime.invoked, len(export.made)) == (invoked, 13)


@pytest.mark.parametrize("killed_at", [0, 3, 5, 9])
def test_a_killed_build_continues(tmp_path: Path, operators: list[tuple[Operator, Shape]], killed_at: int) -> None:
    loads, export = itertools.count(), Exporter()

    def die(path: Path) -> None:
        if next(loads) == killed_at:
            raise KeyboardInterrupt

    arguments = (export, FAST, tmp_path / "t.jsonl")
    with pytest.raises(KeyboardInterrupt):
        built(operators, FakeRuntime(on_load=die), *arguments, artifacts=tmp_path / "a")
    kept = read_table(tmp_path / "t.jsonl")
    sittings_done = killed_at // (FAST.group + 1)  # each loads the reference as well
    assert len(kept.rows) + (kept.overhead is not None) == sittings_done * FAST.group
    table = built(operators, FakeRuntime(), *arguments, artifacts=tmp_path / "a")
    assert table.rows.keys() == {row_key(*link) for link in operators}
    assert all(table.rows[key] == measured for key, measured in kept.rows.items())
    assert len(export.made) == len(set(export.made)) == 12, "files that were made are used again"


def test_an_operator_that_fails_is_listed_and_costs_the_others_nothing(
    tmp_path: Path, operators: list[tuple[Operator, Shape]]
) -> None:
    bad = [link for link in operators if link[0].kind == "conv"]
    assert bad
    good = {row_key(*link) for link in operators if link not in bad}
    path = tmp_path / "t.jsonl"
    stem = str(bad[0][0].module())
    with pytest.raises(
        TableError, match=f"1 of 11 could not be timed: conv .*{bad[0][0].out_channels}.*no such operation"
    ):
        built(operators, FakeRuntime(), Exporter(refuses=stem), FAST, path, artifacts=tmp_path / "a")
    assert good <= read_table(path).rows.keys()
    built(operators, FakeRuntime(), Exporter(), FAST, path, artifacts=tmp_path / "a")
    assert plan_table(operators, read_table(path)) == []


def test_a_missing_package_ends_the_build_at_once(tmp_path: Path, operators: list[tuple[Operator, Shape]]) -> None:
    loads = list[Path]()

    def missing(path: Path) -> None:
        loads.append(path)
        raise MissingExtra("not there", where="here", allowed="It comes with an extra", do="Install it")

    with pytest.raises(MissingExtra):
        built(operators, FakeRuntime(on_load=missing), Exporter(), FAST, tmp_path / "t.jsonl", artifacts=tmp_path / "a")
    assert len(loads) == 1


def test_the_plan_is_what_lacks_a_row(tmp_path: Path, operators: list[tuple[Operator, Shape]]) -> None:
    table = open_table(tmp_path / "t.jsonl", SETUP)
    assert plan_table([*operators, *operators], table) == operators
    built(operators[:4], FakeRuntime(), Exporter(), FAST, table.path, artifacts=tmp_path / "a")
    assert plan_table(operators, read_table(table.path)) == operators[4:]


def test_artifacts_do_not_depend_on_the_global_seed_nor_touch_it(
    tmp_path: Path, operators: list[tuple[Operator, Shape]]
) -> None:
    sums = list[list[float]]()

    def export(module: nn.Module, input_shape: Shape, path: Path) -> Path:
        sums[-1].append(sum(float(p.detach().sum()) for p in module.parameters()))
        return Exporter()(module, input_shape, path)

    for seed in (1, 2):
        sums.append([])
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        built(operators[:3], FakeRuntime(), export, FAST, tmp_path / f"{seed}.jsonl", artifacts=tmp_path / str(seed))
        assert torch.equal(torch.random.get_rng_state(), state)
    assert sums[0] == sums[1]


def test_a_table_of_real_files(tmp_path: Path, operators: list[tuple[Operator, Shape]], network: Network) -> None:
    runtime = open_runtime("onnxruntime")
    table = built(
        operators[:3], runtime, export_onnx, FAST, tmp_path / "t.jsonl", artifacts=tmp_path / "a", networks=[network]
    )
    again = read_table(tmp_path / "t.jsonl")
    assert again.setup == runtime.setup
    assert (again.rows, again.checks) == (table.rows, table.checks)
    assert len(list((tmp_path / "a").glob("*.onnx"))) == 6
    for measurement in [*again.rows.values(), *again.checks.values()]:
        assert len(measurement.rounds_ns) == FAST.rounds
        assert 0 < measurement.low_ms < 1000
