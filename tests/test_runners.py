"""Laws of whole searches by several processes: one study, one front, whoever scored what."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, RunError
from hwnas.search.storage.backends import open_storage
from tests.helpers.experiments import published
from tests.helpers.processes import SEARCH, fronts, searches


@pytest.mark.slow
def test_two_machines_on_one_database_give_one_front(tmp_path: Path, repository: Path) -> None:
    shared = {"trials": 6, "sampler": "random", "storage": f"sqlite:///{tmp_path}/study.db"}
    experiment = published(tmp_path / "shared", search=shared)
    searches(repository, *([str(experiment), "--runs", str(tmp_path / name)] for name in ("b", "c")))
    (first, second) = fronts(tmp_path / "b" / "published", tmp_path / "c" / "published")
    assert first == second
    backend, _ = open_storage(f"sqlite:///{tmp_path}/study.db")
    told = [t for t in backend.get_all_trials(backend.get_all_studies()[0]._study_id) if "scores" in t.user_attrs]
    assert len(told) == len({t.user_attrs["key"] for t in told}) == 6


@pytest.mark.slow
def test_two_processes_in_one_run_folder_share_its_journal_and_its_store(tmp_path: Path, repository: Path) -> None:
    experiment = published(tmp_path, search={"trials": 20, "sampler": "random", "shared": True})
    command = [str(experiment), "--runs", str(tmp_path / "runs")]
    searches(repository, command, command)
    folder = tmp_path / "runs" / "published"
    scored = [json.loads(line)["key"] for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert len(scored) == len(set(scored))
    (found,) = pipeline.search(experiment, runs=tmp_path / "runs")
    assert found.finished.trials == 20
    assert fronts(folder) == [{point.architecture.key for point in found.front}]


def test_a_run_that_is_not_shared_still_belongs_to_one_process(tmp_path: Path) -> None:
    from hwnas.io.locks import RunLock

    experiment = published(tmp_path, search={"trials": 5, "sampler": "random"})
    with RunLock(tmp_path / "runs" / "published", shared=True), pytest.raises(RunError, match="another process"):
        pipeline.search(experiment, runs=tmp_path / "runs")


@pytest.mark.parametrize("url", ["grpc://nowhere", "grpc://host:port"])
def test_a_served_storage_needs_host_and_port(url: str, tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    experiment = published(tmp_path, search={"trials": 5, "sampler": "random", "storage": url})
    with pytest.raises(ConfigError, match="does not name a host and a port"):
        pipeline.search(experiment, runs=tmp_path / "runs")


@pytest.mark.parametrize("url", ["study.log", "grpc://localhost:1"])
def test_only_databases_are_served(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be served"):
        pipeline.serve_storage(url)


@pytest.mark.slow
def test_a_ray_search_is_the_serial_one(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason='Ray is not here: pip install "hwnas[ray]"')
    found = []
    for runner in ("serial", "ray"):
        search: dict[str, Any] = {"trials": 12, "sampler": "nsga2", "runner": runner, "ray": {"workers": 1}}
        experiment = published(tmp_path / runner, search=search)
        found += pipeline.search(experiment, runs=tmp_path / runner)
    serial, ray = found
    assert [(e.architecture, e.scores) for e in ray.evaluations] == [
        (e.architecture, e.scores) for e in serial.evaluations
    ]
    assert ray.front == serial.front
    stores = [(tmp_path / runner / "published/scores.jsonl").read_text().count("\n") for runner in ("serial", "ray")]
    assert stores[0] == stores[1]


@pytest.mark.slow
def test_the_dashboard_serves_a_searched_run(tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason='optuna-dashboard is not here: pip install "hwnas[dashboard]"')
    tiers = {"edge": {"setup": "board", "limits": {"latency_ms": 0.6}}}
    experiment = published(tmp_path, drop=12, tiers=tiers, search={"trials": 40, "sampler": "random"})
    with pytest.raises(RunError, match="was not searched yet"):
        pipeline.dashboard(experiment, runs=tmp_path / "runs")
    (searched,) = pipeline.search(experiment, runs=tmp_path / "runs")
    with pytest.raises(ConfigError, match="Did you mean `edge`"):
        pipeline.dashboard(experiment, runs=tmp_path / "runs", tier="edgy")
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", SEARCH, "dashboard", str(tmp_path / "runs/published"), "--port", str(port)]
    served = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                (study,) = answered(port, "studies")["study_summaries"]
                break
            except OSError:
                assert served.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        shown = answered(port, "studies/0?after=0")
        assert answered(port, "studies/0/param_importances")["param_importances"]
    finally:
        served.kill()
        served.communicate()
    assert study["study_name"].startswith("published-edge-")
    for trial, evaluation in zip(shown["trials"], searched.evaluations, strict=True):
        told = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert trial["state"] == ("Fail" if evaluation.failed else "Pruned" if evaluation.broken else "Complete")
        assert ("values" in trial) == (trial["state"] == "Complete"), "no number that was never scored is drawn"
        assert told.get("over the limit", "") == ", ".join(evaluation.broken)
        assert {name: float(told[name]) for name in evaluation.scores} == evaluation.scores
    states = {trial["state"] for trial in shown["trials"]}
    assert states == {"Fail", "Pruned", "Complete"}


def answered(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://localhost:{port}/api/{path}", timeout=10) as answer:
        return json.loads(answer.read())
