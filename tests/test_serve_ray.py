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
            one.join()
    assert outcomes == {(200, True): CLIENTS * REQUESTS}


async def _process(backend: ReplicaBackend) -> int:
    number: int = await backend._handle.process.remote()
    return number
