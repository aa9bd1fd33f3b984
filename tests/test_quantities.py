"""Energy and memory in tables, and of networks that were not measured."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from hwnas.errors import SensorError, TableError
from hwnas.export.onnx import export_onnx
from hwnas.latency.energy_model import EnergyModel
from hwnas.latency.linting.lint import lint_tables
from hwnas.latency.memory_model import MIN_NETWORKS, PeakModel, student
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.energy.job import measure_energy
from hwnas.measure.energy.meter import Energy, EnergyProtocol
from hwnas.measure.events import Outcomes
from hwnas.measure.memory import Memory, measure_memory, peak_of, resident_mb
from hwnas.measure.table import (
    OVERHEAD_LINE,
    LatencyTable,
    check_key,
    check_line,
    open_table,
    read_table,
    row_key,
    row_line,
)
from hwnas.measure.timing import Measurement
from hwnas.measure.worker_process import run_worker
from hwnas.network import Network, costs, lower, operators_of
from hwnas.runtimes import Setup, open_runtime
from hwnas.space import Space, read_space
from tests.helpers.machines import put

SETUP = Setup("my board", "fake", "1")


@pytest.fixture(scope="module")
def space(repository: Path) -> Space:
    return read_space(repository / "search_spaces" / "digits.yaml")


def networks(space: Space, count: int, seed: int = 0) -> list[Network]:
    rng = random.Random(seed)
    return [lower(space, space.random(rng)) for _ in range(count)]


@pytest.fixture
def table(space: Space, tmp_path: Path) -> LatencyTable:
    """Times and energies of all operators and 12 networks: 0.1 mJ a call, and a millijoule for each million
    multiply-adds and a hundredth for each operator; networks take a tenth less than their sum."""
    table = open_table(tmp_path / "table.jsonl", SETUP)
    table.append_overhead(Measurement((1000.0,)))
    table.append_energy(OVERHEAD_LINE, Energy((0.1,), {"error": 0.02}))
    for operator, shape in operators_of(space):
        mj = 0.01 + costs(Network((operator,), ("x",), shape)).macs / 1e6
        table.append_row(operator, shape, Measurement((2000.0,)))
        table.append_energy(row_line(operator, shape), Energy((0.1 + mj, 0.1 + mj), {"error": 0.04}))
    for network in networks(space, 12):
        table.append_check(network, Measurement((9000.0,)))
        table.append_energy(check_line(network), Energy((truth_mj(network),), {"error": 0.03}))
    return table


def truth_mj(network: Network) -> float:
    return 0.1 + 0.9 * (0.01 * len(network.operators) + costs(network).macs / 1e6)


# --- tables ---


def test_energy_and_memory_stand_in_lines_of_their_own_and_are_read_again(table: LatencyTable, space: Space) -> None:
    network = networks(space, 1)[0]
    table.append_memory(check_line(network), Memory(3.5, {"baseline_mb": 40.0}))
    again = read_table(table.path)
    assert again.energy == table.energy
    assert again.energy[None].conditions == {"error": 0.02}
    assert again.memory == {check_key(network): Memory(3.5)}
    assert again.rows == table.rows


def test_of_an_energy_observed_twice_the_first_stays(table: LatencyTable) -> None:
    size = table.path.stat().st_size
    table.append_energy(OVERHEAD_LINE, Energy((9.0,)))
    assert table.energy[None] == Energy((0.1,))
    assert table.path.stat().st_size == size


def test_energies_can_be_added_to_a_table_that_has_only_times(tmp_path: Path) -> None:
    table = open_table(tmp_path / "t.jsonl", SETUP)
    table.append_overhead(Measurement((1000.0,)))
    open_table(table.path, SETUP).append_energy(OVERHEAD_LINE, Energy((0.5,)))
    again = read_table(table.path)
    assert (again.overhead, again.energy[None]) == (Measurement((1000.0,)), Energy((0.5,)))


@pytest.mark.parametrize("energy", [{"mj": []}, {"mj": [0]}, {"mj": [-1.0]}, {"mj": ["x"]}, {}, 3])
def test_what_is_no_energy_is_damage(table: LatencyTable, energy: object) -> None:
    line = {"overhead": True, "energy": energy, "conditions": {}}
    table.path.write_text(table.path.read_text() + json.dumps(line) + "\n")
    with pytest.raises(TableError, match="damaged"):
        read_table(table.path)
    assert [found.rule for found in lint_tables([table.path]) if found.severity == "error"] == ["damage"]


def test_lint_and_merge_keep_quantities_apart(table: LatencyTable, tmp_path: Path) -> None:
    assert not [found for found in lint_tables([table.path]) if found.rule != "faster-though-larger"]
    merged = merge_tables([table.path, table.path], tmp_path / "merged.jsonl")
    assert merged.again == 0
    assert merged.table.energy == table.energy
    assert merged.table.rows == table.rows


# --- models ---


def test_a_networks_energy_is_the_sum_corrected_by_whole_networks(table: LatencyTable, space: Space) -> None:
    model = EnergyModel.of(table)
    inside = 0
    for network in networks(space, 20, seed=1):
        found = model.predict(network)
        assert found.mj == pytest.approx(truth_mj(network), rel=0.03)
        assert model.predict_mj(network) == pytest.approx(found.mj)
        inside += found.low_mj <= truth_mj(network) <= found.high_mj
    assert inside >= 16
    assert "energies of 12 checks" in found.origin


def test_without_whole_networks_the_interval_is_the_sensors_error(table: LatencyTable, space: Space) -> None:
    table.checks.clear()
    network = networks(space, 1)[0]
    found = EnergyModel.of(table).predict(network)
    assert found.mj == pytest.approx(0.1 + (truth_mj(network) - 0.1) / 0.9)
    assert (found.low_mj, found.high_mj) == (pytest.approx(0.96 * found.mj), pytest.approx(1.04 * found.mj))


def test_a_table_without_energies_or_without_one_of_them_says_what_measures_them(
    table: LatencyTable, space: Space
) -> None:
    network = networks(space, 1)[0]
    lacking = row_key(*next(iter(network.links)))
    table.checks.clear()
    del table.energy[lacking]
    with pytest.raises(TableError, match="have no row") as caught:
        EnergyModel.of(table, bench="hwnas bench digits").predict(network)
    assert "hwnas bench digits" in caught.value.do
    table.energy.clear()
    with pytest.raises(TableError, match="no energies"):
        EnergyModel.of(table)


def test_a_networks_peak_is_fitted_to_networks_that_were_measured(table: LatencyTable, space: Space) -> None:
    rng = np.random.default_rng(0)

    def peak(network: Network) -> float:
        total = costs(network)
        return 2.0 + 4.5 * total.params / 1e6 + 1.8 * total.activation_bytes / 1e6

    for key, network in zip(table.checks, networks(space, 12), strict=True):
        table.memory[key] = Memory(peak(network) + float(rng.normal(0, 0.001)))
    model = PeakModel.of(table)
    found = [(model.predict(network), peak(network)) for network in networks(space, 40, seed=1)]
    assert all(estimate.mb == pytest.approx(mb, abs=0.01) for estimate, mb in found)
    assert sum(estimate.low_mb <= mb <= estimate.high_mb for estimate, mb in found) >= 32
    assert found[0][0].origin == "12 networks measured"


def test_too_few_networks_tell_no_peak(table: LatencyTable) -> None:
    for key in list(table.checks)[: MIN_NETWORKS - 1]:
        table.memory[key] = Memory(1.0)
    with pytest.raises(TableError, match=f"memory of {MIN_NETWORKS - 1} whole networks"):
        PeakModel.of(table)


@pytest.mark.parametrize(("freedom", "t95"), [(3, 2.3534), (5, 2.0150), (10, 1.8125), (100, 1.6602)])
def test_students_quantile_is_that_of_the_tables(freedom: int, t95: float) -> None:
    assert student(0.95, freedom) == pytest.approx(t95, rel=0.002)


# --- measuring ---


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small file, one with 4 MB of weights, and one that is no model."""
    folder = tmp_path_factory.mktemp("files")
    small = export_onnx(nn.Conv2d(1, 1, 3), (1, 8, 8), folder / "small.onnx")
    large = export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(1000, 1000)), (1, 10, 100), folder / "large.onnx")
    bad = folder / "bad.onnx"
    bad.write_bytes(b"no model")
    return [small, large, bad]


def test_the_memory_of_a_file_is_what_its_process_takes_at_its_peak(files: list[Path]) -> None:
    found = dict(measure_memory(files, open_runtime("onnxruntime")))
    small, large = found[0], found[1]
    assert isinstance(small, Memory)
    assert isinstance(large, Memory)
    assert 4 <= large.peak_mb - small.peak_mb <= 20, "four MB of weights, perhaps read into a buffer and packed"
    assert large.conditions["baseline_mb"] > 10
    assert large.conditions["whole_mb"] >= large.peak_mb
    assert "does not tell" in large.conditions["arena_unknown"]
    assert "cannot load" in str(found[2])


class Held:
    """A model that takes memory when it is loaded and frees it again."""

    arena_bytes = 2_500_000

    def invoke(self) -> None:
        pass


@pytest.mark.parametrize("reset", [True, False])
def test_the_baseline_is_what_was_there_before_and_a_peak_before_loading_does_not_count(
    tmp_path: Path, reset: bool
) -> None:
    tree = Tree(tmp_path)
    put(tree, "proc/self/status", "VmHWM:\t  90000 kB\nVmRSS:\t  40000 kB\n")
    if reset:
        put(tree, "proc/self/clear_refs", "")

    def load() -> Held:
        put(tree, "proc/self/status", f"VmHWM:\t {60000 if reset else 95000} kB\nVmRSS:\t  50000 kB\n")
        return Held()

    found = peak_of(load, tree)
    assert found.peak_mb == pytest.approx((20000 if reset else 5000) * 1024 / 1e6)
    assert found.conditions["reset"] is reset
    assert found.conditions["arena_mb"] == 2.5


def test_a_system_that_does_not_tell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="has no VmHWM"):
        resident_mb(Tree(tmp_path))


def test_energies_are_taken_by_a_process_and_a_bad_file_costs_the_others_nothing(
    files: list[Path], tmp_path: Path
) -> None:
    """The power meter is a program that counts its calls: ever more watts, so that loops take more than idling."""
    meter, count = tmp_path / "meter.py", tmp_path / "count"
    meter.write_text(
        f"import pathlib; p = pathlib.Path({str(count)!r})\n"
        "n = int(p.read_text()) if p.exists() else 0; p.write_text(str(n + 1)); print(5 + n)"
    )
    protocol = EnergyProtocol("command", f"{sys.executable} -S {meter}", error=0.99, repeats=2, longest_s=60)
    found = dict(measure_energy([files[2], files[0]], open_runtime("onnxruntime"), protocol))
    assert "cannot load" in str(found[0])
    told = found[1]
    assert isinstance(told, (Energy, str))
    assert told.conditions["sensor"].startswith("command") if isinstance(told, Energy) else "sensor" in told


def test_a_process_that_takes_too_long_is_ended(files: list[Path]) -> None:
    job = {"setup": open_runtime("onnxruntime").setup.as_dict(), "timing": {"rounds": 10**9, "min_sample_ms": 0.01},
           "files": [str(files[0])], "reference": None}  # fmt: skip
    assert run_worker(job, 1, Outcomes(dict, print), limit_s=3) == "the measuring process took longer than 3 s"


def test_a_job_that_nobody_knows_is_told(files: list[Path]) -> None:
    job = {"setup": open_runtime("onnxruntime").setup.as_dict(), "timing": {}, "task": "dance"}
    assert "unknown task `dance`" in run_worker(job, 1, Outcomes(dict, print))
