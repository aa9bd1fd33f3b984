"""Energy and memory from the experiment to the front, with a made-up meter: nothing here knows real watts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.cli import main
from hwnas.config import EnergyConfig, SetupConfig, parse_setup
from hwnas.errors import ConfigError, SensorError, TableError
from hwnas.latency.building import quantities
from hwnas.measure.energy.meter import Energy
from hwnas.measure.energy.sensor import no_sensor
from hwnas.measure.table import read_table
from hwnas.search.fronts import read_front
from hwnas.workspace.measuring import setups as timing
from tests.helpers.experiments import EXPERIMENT, written


def made_up(files: Sequence[Path], runtime: Any, protocol: Any, **options: Any) -> Iterator[tuple[int, Energy]]:
    """A microjoule for each byte of a file."""
    for place, file in enumerate(files):
        yield place, Energy((file.stat().st_size / 1e3,) * 3, {"sensor": "made up", "error": 0.01})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over accuracy, latency and energy, with limits on energy and memory."""
    folder = tmp_path_factory.mktemp("energy")
    written(
        folder,
        setups={"cpu": {"runtime": "onnxruntime", "energy": "auto", "memory": True}},
        tiers={"edge": {"setup": "cpu", "minimize": ["energy_mj"], "limits": {"energy_mj": 50, "peak_mb": 100}}},
        timing={**EXPERIMENT["timing"], "validation_networks": 6},
        search={"trials": 6, "sampler": "nsga2", "population": 4},
        train={"epochs": 1, "batch_size": 64},
        export={"formats": ["onnx"], "picks": ["best"]},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantities, "measure_energy", made_up)
        patch.setattr(timing, "find_sensor", lambda *given, **options: None)
        pipeline.run(folder / "mini.yaml", runs=folder / "runs")
    return folder / "runs" / "mini"


def test_the_table_holds_energies_of_everything_and_memory_of_whole_networks(run: Path) -> None:
    table = read_table(run / "latency" / "cpu.jsonl")
    assert table.energy.keys() == {None, *table.rows, *table.checks}
    assert table.memory.keys() == table.checks.keys()


def test_a_front_over_three_objectives_is_measured_again_in_all_that_was_predicted(run: Path) -> None:
    front = read_front(run / "fronts" / "edge.json")
    metrics = {"latency_ms@cpu", "energy_mj@cpu", "peak_mb@cpu"}
    assert front
    for point in front:
        assert metrics <= point.scores.keys()
        assert metrics == point.measured.keys()
        assert {point.origin[metric] for metric in metrics} == {"predicted"}
        assert point.measured["energy_mj@cpu"] == pytest.approx(point.scores["energy_mj@cpu"], rel=0.5)
    assert "Energy" in (run / "report.html").read_text()


def test_the_cost_of_a_network_tells_energy_and_memory_where_the_table_does(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = run / "latency" / "cpu.jsonl"
    found = pipeline.cost(run / "space.yaml", table=table)
    assert found["low_mj"] <= found["energy_mj"] <= found["high_mj"]
    assert "energies of 6 checks" in found["energy_origin"]
    assert found["low_mb"] <= found["peak_mb"] <= found["high_mb"]
    lines = [line for line in table.read_text().splitlines() if '"energy"' not in line and '"memory"' not in line]
    (run / "plain.jsonl").write_text("\n".join(lines) + "\n")
    assert not {"energy_mj", "peak_mb"} & pipeline.cost(run / "space.yaml", table=run / "plain.jsonl").keys()


def test_a_tier_that_asks_for_energy_needs_a_table_that_holds_it(run: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    lines = (run / "latency" / "cpu.jsonl").read_text().splitlines()
    plain.write_text("\n".join(line for line in lines if '"energy"' not in line) + "\n")
    experiment = written(
        tmp_path, setups={"cpu": {"runtime": "onnxruntime", "table": str(plain)}},
        tiers={"edge": {"setup": "cpu", "limits": {"energy_mj": 5}}},
    )  # fmt: skip
    with pytest.raises(TableError, match="holds no energies") as caught:
        pipeline.search(experiment, runs=tmp_path / "runs")
    assert "`energy: auto`" in caught.value.do


def test_a_machine_without_a_sensor_says_so_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*given: Any, **options: Any) -> None:
        raise no_sensor("rapl: not here")

    monkeypatch.setattr(timing, "find_sensor", none)
    experiment = written(tmp_path, setups={"cpu": {"runtime": "onnxruntime", "energy": "rapl"}})
    with pytest.raises(SensorError, match="rapl: not here"):
        pipeline.bench(experiment, runs=tmp_path / "runs")
    assert not (tmp_path / "runs" / "mini" / "latency" / "cpu.jsonl").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("rapl", EnergyConfig(sensor="rapl")),
        ({"command": "watts --now"}, EnergyConfig(command="watts --now")),
        (None, None),
    ],
)
def test_an_energy_sensor_is_a_word_or_a_section(given: Any, expected: EnergyConfig | None) -> None:
    assert parse_setup({"runtime": "tflite", "energy": given}, where="set-up").energy == expected


@pytest.mark.parametrize(
    ("given", "near"),
    [("rappel", "rapl"), ({"sensr": "rapl"}, "sensor"), ({"error": 2}, "less than 1"), (True, "no yes or no")],
)
def test_an_energy_section_is_read_strictly(given: Any, near: str) -> None:
    with pytest.raises(ConfigError, match=near):
        parse_setup({"runtime": "tflite", "energy": given}, where="set-up")


@pytest.mark.parametrize("option", [("--energy-command", "watts"), ("--networks", "5")])
def test_the_command_line_asks_for_options_of_a_set_up_with_one_only(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["hwnas", "bench", "digits", *option])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert f"{option[0]} stands without --runtime" in capsys.readouterr().err


def test_the_protocol_of_energy_is_that_of_the_section() -> None:
    from dataclasses import asdict

    from hwnas.measure.energy.meter import EnergyProtocol

    assert asdict(EnergyProtocol()) == json.loads(EnergyConfig().model_dump_json())
    assert SetupConfig(runtime="tflite").memory is False
