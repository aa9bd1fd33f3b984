"""Servers of `hwnas serve` in processes of their own, and clients that ask them over TLS: as fast as they can, or at
random moments."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hwnas.serve.bundle import ServedModel, read_bundle  # noqa: E402
from hwnas.serve.protocol import JSON_LENGTH_HEADER  # noqa: E402
from tests.helpers.deployments import write_deployment  # noqa: E402

HWNAS = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"
SHAPE = (1, 64, 64)
"""4,096 bytes."""
LEVELS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FILL_MS = 2.0
SLEEP_MS, SLEEP_SHAPE = {1: 1.0, 8: 8.0}, 4.0
"""Mean by size of batches, and shape of the gamma distribution, of simulated service times."""
HEAD_END = b"\r\n\r\n"
SERVER_CORES, CLIENT_CORES = {0}, {1}
PRIORITY = 5


@dataclass
class Server:
    """A server of the command, in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    token: str
    ca: Path

    @property
    def processor_s(self) -> float:
        """Time of processors that it took so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self) -> float:
        """Memory that is its own or shared."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def leave_core_to_network(self) -> None:
        """Move the thread of the event loop to the clients' core, once the network's thread runs."""
        os.sched_setaffinity(self.process.pid, CLIENT_CORES)  # of a process, it is that of its first thread alone


@contextmanager
def cores_apart(*, real_time: bool = True) -> Iterator[None]:
    """Give clients, and servers that are started inside, a core each while the `with` block runs, and real-time
    priority where that is allowed: other work on the machine is not measured. A core that is busy all the time must not
    have it, since the kernel stops it for a twentieth of each second."""
    os.sched_setaffinity(0, CLIENT_CORES)
    try:
        if real_time:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, SERVER_CORES | CLIENT_CORES)


@contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server, and yield it with its first lines; it is ended after the `with` block."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if os.sched_getaffinity(0) == CLIENT_CORES:
        os.sched_setaffinity(process.pid, SERVER_CORES)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "serving" in line:
            break
    try:
        yield process, "".join(lines)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _port(text: str) -> int:
    port = re.search(r"https://127.0.0.1:(\d+)", text)
    if port is None:
        raise SystemExit(text)
    return int(port[1])


@contextmanager
def served(bundle: Path, *options: str) -> Iterator[Server]:
    """Serve a bundle with TLS and a token while the `with` block runs."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(bundle), "--port", "0", "--make-token", "--make-certificates", "--certificates", folder]
        with started([sys.executable, "-c", HWNAS, "serve", *arguments, *options]) as (process, text):
            port, token = _port(text), re.search(r"token, shown.*: (\S+)", text)
            assert token is not None
            yield Server(process, port, token[1], Path(folder) / "ca.pem")


def serve_sleeping(batch: int, waiting: int) -> None:
    """Serve a network that sleeps, in this process, as the command serves others."""
    from hwnas.serve.app import InferenceApp
    from hwnas.serve.batching import Batcher
    from hwnas.serve.certificates import make_certificates, server_context
    from hwnas.serve.metrics import Metrics
    from hwnas.serve.server import listen, run, server_of

    rng, answer = np.random.default_rng(5), np.zeros(5, np.float32)

    def sleeping(contents: Any) -> Any:
        begun = time.perf_counter_ns()
        time.sleep(rng.gamma(SLEEP_SHAPE, SLEEP_MS[batch] / SLEEP_SHAPE) / 1e3)
        return [answer] * len(contents), (time.perf_counter_ns() - begun) // 1000

    with tempfile.TemporaryDirectory() as folder:
        model = read_bundle(write_deployment(Path(folder), SHAPE, batch=batch))
        metrics, files = Metrics(), make_certificates(Path(folder) / "tls", [])
        wait_s = FILL_MS / 1e3 if batch > 1 else 0.0
        backend = Batcher([sleeping], batch=batch, wait_s=wait_s, most=waiting, metrics=metrics)
        address = listen("127.0.0.1", 0, tls=True)
        print(f"token, shown: none\n{files.ca}\nserving {address.url}", flush=True)
        run(server_of(InferenceApp(model, backend, metrics).build(), server_context(files.folder)), address)


@contextmanager
def served_sleeping(batch: int, waiting: int = 100_000) -> Iterator[Server]:
    """Serve a network that sleeps, in a process of its own."""
    code = f"from benchmarks._server_load import serve_sleeping; serve_sleeping({batch}, {waiting})"
    with started([sys.executable, "-c", code]) as (process, text):
        ca = Path(text.splitlines()[1])
        yield Server(process, _port(text), "none", ca)


class Connection(asyncio.Protocol):
    """One client: a connection that stays open, with one request at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.buffer = bytearray()
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(HEAD_END)
        if end < 0 or self.answer is None:
            return
        head = bytes(self.buffer[:end])
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        if len(self.buffer) < end + len(HEAD_END) + length:
            return
        body = bytes(self.buffer[end + len(HEAD_END) : end + len(HEAD_END) + length])
        self.buffer.clear()
        self.answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def connected(server: Server, count: int) -> list[Connection]:
    """Open connections, a few at a time."""
    context = ssl.create_default_context(cafile=str(server.ca))
    loop, opened = asyncio.get_running_loop(), list[Connection]()
    for first in range(0, count, 20):
        made = [
            loop.create_connection(Connection, "127.0.0.1", server.port, ssl=context, server_hostname="127.0.0.1")
            for _ in range(min(20, count - first))
        ]
        opened += [protocol for _, protocol in await asyncio.gather(*made)]
    return opened


def request_of(model: ServedModel, token: str, *, as_json: bool = False) -> bytes:
    """Return the bytes of a request, its head included."""
    sample = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    if as_json:
        tensor = {"name": "input", "shape": [1, *SHAPE], "datatype": "UINT8", "data": sample.ravel().tolist()}
        body, own = json.dumps({"inputs": [tensor]}).encode(), {}
    else:
        body = model.request.body(sample.tobytes(), model.plan)
        own = {JSON_LENGTH_HEADER: str(len(model.request.header(sample.nbytes, model.plan)))}
    headers = {"host": "a", "authorization": f"Bearer {token}", "content-length": str(len(body)), **own}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v2/models/cloud/infer HTTP/1.1\r\n{head}\r\n".encode() + body


def service_ms(body: bytes) -> float:
    """Return the time of the network that an answer tells."""
    return int(re.search(rb'"service_us":(\d+)', body)[1]) / 1e3  # type: ignore[index]


@dataclass
class Outcome:
    """Requests of a measurement, in ms."""

    latencies: list[float] = field(default_factory=list)
    services: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0

    def note(self, latency_ms: float, status: int, body: bytes) -> None:
        """Count one request."""
        if status == 503:
            self.refused += 1
            return
        assert status == 200, body
        self.latencies.append(latency_ms)
        self.services.append(service_ms(body))

    @property
    def added(self) -> NDArray[Any]:
        """Times beyond those of the network."""
        return np.array(self.latencies) - np.array(self.services)

    @property
    def processor_ms(self) -> float:
        """Server's processor time for a request."""
        return 1e3 * self.processor_s / (len(self.latencies) + self.refused)

    def quantiles(self) -> dict[str, float]:
        """Return the usual quantiles of the requests that were answered."""
        return quantiles_of(self.latencies)


def quantiles_of(values: Any) -> dict[str, float]:
    """Return the usual quantiles, rounded."""
    return {name: round(float(np.quantile(values, level)), 3) for name, level in LEVELS.items()}


async def closed_loop(server: Server, request: bytes, clients: int, seconds: float) -> Outcome:
    """Ask again as soon as an answer is there."""
    connections, outcome = await connected(server, clients), Outcome()
    begun, processor_s = time.perf_counter(), server.processor_s

    async def client(connection: Connection) -> None:
        while (start := time.perf_counter()) < begun + seconds:
            status, body = await connection.ask(request)
            outcome.note((time.perf_counter() - start) * 1e3, status, body)

    await asyncio.gather(*map(client, connections))
    return _ended(outcome, server, connections, begun, processor_s)


async def open_loop(server: Server, request: bytes, clients: int, rate_hz: float, seconds: float) -> Outcome:
    """Ask at random moments (Poisson), whatever the answers do: any of the clients that have no request on its way; one
    that all were too busy for counts from the moment at which it was due."""
    connections, outcome = await connected(server, clients), Outcome()
    await asyncio.sleep(0.5)
    rng, loop = np.random.default_rng(clients), asyncio.get_running_loop()
    idle, late, running = list(connections), deque[float](), set[asyncio.Task[None]]()
    begun, processor_s = time.perf_counter(), server.processor_s

    async def ask(connection: Connection, start: float) -> None:
        status, body = await connection.ask(request)
        outcome.note((time.perf_counter() - start) * 1e3, status, body)
        while late:
            start = late.popleft()
            status, body = await connection.ask(request)
            outcome.note((time.perf_counter() - start) * 1e3, status, body)
        idle.append(connection)

    due = begun
    while (due := due + float(rng.exponential(1 / rate_hz))) < begun + seconds:
        start = due
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
            start = time.perf_counter()  # the timer's own lateness, up to 1 ms, is not the server's
        if not idle:
            late.append(start)
            continue
        turn = int(rng.integers(len(idle)))
        idle[turn], idle[-1] = idle[-1], idle[turn]
        task = loop.create_task(ask(idle.pop(), start))
        running.add(task)
        task.add_done_callback(running.discard)
    while running:
        await asyncio.gather(*running)
    return _ended(outcome, server, connections, begun, processor_s)


def _ended(
    outcome: Outcome, server: Server, connections: list[Connection], begun: float, processor_s: float
) -> Outcome:
    outcome.seconds, outcome.processor_s = time.perf_counter() - begun, server.processor_s - processor_s
    for connection in connections:
        connection.transport.close()
    return outcome
