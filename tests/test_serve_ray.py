"""The same application with its network in replicas of Ray Serve."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import ConfigError, RunError
from hwnas.serve import replicas
from hwnas.serve.app import InferenceApp
from hwnas.serve.metrics import Metrics
from hwnas.serve.replicas import ReplicaBackend
from hwnas.serve.session import Session
from tests.helpers.serving import INFER, binary_request, deployed, served

ray = pytest.importorskip("ray.serve")

CLIENTS, REQUESTS = 4, 100


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Ray's own
def test_answers_are_identical_and_a_killed_replica_loses_no_request(tmp_path: Path) -> None:
    model = deployed(tmp_path)
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 256, model.input_shape).astype(np.uint8).tobytes() for _ in range(REQUESTS)]
    expected = [np.asarray(output).tobytes() for output in Session.open(model).answer(samples)[0]]
    backend = ReplicaBackend.start(model, 2, 64, 0.0, Metrics())
    process = asyncio.run(_process(backend))
    outcomes: Counter[Any] = Counter()
    half = threading.Event()

    def client(port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for number, sample in enumerate(samples):
            body, headers = binary_request(model, sample)
            connection.request("POST", INFER, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
            numbers = content[int(answer.headers.get("Inference-Header-Content-Length", 0)) :]
            outcomes[answer.status, numbers == expected[number]] += 1
            if number == REQUESTS // 2:
                half.set()
        connection.close()

    with served(InferenceApp(model, backend, Metrics()).build()) as address:
        port = address.listener.getsockname()[1]
        clients = [threading.Thread(target=client, args=(port,)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        assert half.wait(60)
        os.kill(process, signal.SIGKILL)
        for one in clients:
            one.join(60)
    assert outcomes == {(200, True): CLIENTS * REQUESTS}


async def _process(backend: ReplicaBackend) -> int:
    number: int = await backend._handle.process.remote()
    return number


class FullCluster:
    """Ray and Ray Serve, as far as a backend needs them before it answers: nothing is ever free."""

    def __init__(self) -> None:
        self.joined: dict[str, Any] = {}
        self.calls: list[str] = []
        self.never = threading.Event()

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.joined = options
        if "address" in options and options["address"].endswith(":9"):
            raise ConnectionError("nobody answers")

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def deployment(self, kind: type, **options: Any) -> Any:
        return type("Deployment", (), {"bind": lambda *given: None})()

    def run(self, bound: Any, **options: Any) -> None:
        self.never.wait(60)

    def delete(self, name: str, **options: Any) -> None:
        self.calls.append("delete")


def test_replicas_that_find_no_room_are_an_error_and_no_cluster_of_others_is_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = FullCluster()
    monkeypatch.setattr(replicas, "_packages", lambda: (full, full))
    monkeypatch.setattr(replicas, "REPLICAS_START_S", 0.05)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    model = deployed(tmp_path)
    with pytest.raises(RunError, match=r"did not start within 0\.05 s") as raised:
        ReplicaBackend.start(model, 64, 64, 0.0, Metrics())
    assert "1 are free" in str(raised.value)
    assert (full.joined["address"], full.joined["num_cpus"]) == ("local", max(os.cpu_count() or 1, 64))
    assert full.calls == ["delete", "shutdown"]
    full.never.set()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConfigError, match="RAY_ADDRESS is 127"):
        ReplicaBackend.start(model, 2, 64, 0.0, Metrics())
    assert "num_cpus" not in full.joined
