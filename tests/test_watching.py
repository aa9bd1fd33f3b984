"""A search's logs for TensorBoard and MLflow."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.errors import MissingExtra
from tests.helpers.experiments import published


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """(name, step, value) of every record: its length in eight bytes, a checksum of four, the event, one of four."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)


def test_each_trial_is_a_step_of_one_curve_interrupted_or_not(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    experiment = published(tmp_path, search={"trials": 12, "sampler": "random", "tensorboard": True})
    pipeline.search(experiment, runs=tmp_path / "runs", trials=7)
    pipeline.search(experiment, runs=tmp_path / "runs")
    found = sorted(scalars(tmp_path / "runs/published/tensorboard/edge"))
    volumes = {step: value for name, step, value in found if name == "hypervolume"}
    assert [step for name, step, _ in found if name == "front_size"] == list(range(1, 13))
    assert sorted(volumes.values()) == [volumes[step] for step in range(1, 13)], "it never falls"
    assert {name for name, _, _ in found} >= {"best", "trials_per_second"}


def test_without_the_key_nothing_is_written(tmp_path: Path) -> None:
    pipeline.search(published(tmp_path, search={"trials": 3, "sampler": "random"}), runs=tmp_path / "runs")
    assert not (tmp_path / "runs/published/tensorboard").exists()


def test_a_missing_package_is_told_with_its_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random", "tensorboard": True})
    with pytest.raises(MissingExtra, match=r"hwnas\[tensorboard\]"):
        pipeline.search(experiment, runs=tmp_path / "runs")


def test_mlflow_has_one_run_with_each_trial_and_the_front(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    experiment = published(tmp_path, search={"trials": 12, "sampler": "random", "mlflow": True})
    pipeline.search(experiment, runs=tmp_path / "runs", trials=7)
    pipeline.search(experiment, runs=tmp_path / "runs")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs/published/mlruns").as_uri())
    (logged,) = client.search_runs([client.get_experiment_by_name("published").experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["sampler"] == "random"
    steps = [one.step for one in client.get_metric_history(logged.info.run_id, "front_size")]
    assert steps == list(range(1, 13))
    artifacts = {one.path for one in client.list_artifacts(logged.info.run_id, "front")}
    assert artifacts == {"front/edge.json", "front/edge.csv"}


def test_mlflow_missing_is_told_with_its_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    experiment = published(tmp_path, search={"trials": 3, "sampler": "random", "mlflow": True})
    with pytest.raises(MissingExtra, match=r"hwnas\[mlflow\]"):
        pipeline.search(experiment, runs=tmp_path / "runs")
