"""Speed of `hwnas serve` and its queue beside what planning predicts: TLS, kept-open connections, 4 KB bodies.

    python benchmarks/server.py -o docs/results/server.json     # ten minutes, two idle cores

`speed`: a network that does almost nothing; requests a second of clients that ask again at once, the server's processor
time for a request, the time that the server adds, its memory with 1,000 connections, and tensors in JSON. `queue` and
`sleeping`: 50, 200 and 1,000 clients that ask at random moments (Poisson, open loop: a request that had to wait for its
client counts from the moment at which it was due); beside it the quantiles that `hwnas.collaborate.queueing` predicts
from the service times that the server told while one client asked, and those between which 90 of 100 such windows lie
if the prediction is true. The network of `queue` computes, and shares two cores with everything else; that of
`sleeping` sleeps for a random time instead, simulated and called so. `shed`: more than the server can do. `ray`: the
network in one and two replicas of Ray Serve. Clients and server share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._results import publish, stamped  # noqa: E402
from hwnas.collaborate.queueing import BatchQueue, Queue  # noqa: E402
from hwnas.serve.bundle import ServedModel, read_bundle  # noqa: E402
from hwnas.serve.protocol import JSON_LENGTH_HEADER  # noqa: E402
from tests.helpers.deployments import write_deployment, write_layers  # noqa: E402

HWNAS = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"
SHAPE = (1, 64, 64)
"""4,096 bytes."""
CLIENTS = (50, 200, 1000)
LOADS = (0.5, 0.8)
LEVELS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FILL_MS = 2.0
HEAD_END = b"\r\n\r\n"


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


@contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server, and yield it with its first lines; it is ended after the `with` block."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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


SLEEP_MS, SLEEP_SHAPE = {1: 2.0, 8: 8.0}, 4.0
"""Mean by size of batches, and shape of the gamma distribution, of simulated service times."""


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
def served_sleeping(batch: int) -> Iterator[Server]:
    """Serve a network that sleeps, in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks.server import serve_sleeping; serve_sleeping({batch}, 100000)"]
    with started(command) as (process, text):
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

    def note(self, latency_ms: float, status: int, body: bytes) -> None:
        """Count one request."""
        if status == 503:
            self.refused += 1
            return
        assert status == 200, body
        self.latencies.append(latency_ms)
        self.services.append(service_ms(body))

    def quantiles(self) -> dict[str, float]:
        """Return the usual quantiles of the requests that were answered."""
        return {name: round(float(np.quantile(self.latencies, level)), 3) for name, level in LEVELS.items()}


async def closed_loop(server: Server, request: bytes, clients: int, seconds: float) -> Outcome:
    """Ask again as soon as an answer is there."""
    connections, outcome = await connected(server, clients), Outcome()
    begun = time.perf_counter()

    async def client(connection: Connection) -> None:
        while (start := time.perf_counter()) < begun + seconds:
            status, body = await connection.ask(request)
            outcome.note((time.perf_counter() - start) * 1e3, status, body)

    await asyncio.gather(*map(client, connections))
    outcome.seconds = time.perf_counter() - begun
    for connection in connections:
        connection.transport.close()
    return outcome


async def open_loop(server: Server, request: bytes, clients: int, rate_hz: float, seconds: float) -> Outcome:
    """Ask at random moments, whatever the answers take."""
    connections, outcome = await connected(server, clients), Outcome()
    await asyncio.sleep(0.5)
    rng = np.random.default_rng(clients)
    begun = time.perf_counter()

    async def client(connection: Connection, gaps: np.ndarray[Any, Any]) -> None:
        due = begun
        for gap in gaps:
            due += float(gap)
            if due > begun + seconds:
                return
            start = due
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
                start = time.perf_counter()  # the timer's own lateness, up to 1 ms, is not the server's
            status, body = await connection.ask(request)
            outcome.note((time.perf_counter() - start) * 1e3, status, body)

    count = int(3 * rate_hz * seconds / clients) + 20
    await asyncio.gather(*(client(one, rng.exponential(clients / rate_hz, count)) for one in connections))
    outcome.seconds = time.perf_counter() - begun
    for connection in connections:
        connection.transport.close()
    return outcome


def speed(folder: Path, seconds: float) -> dict[str, Any]:
    """Measure the server with a network that does almost nothing."""
    bundle = write_deployment(folder / "nothing", SHAPE)
    model, result = read_bundle(bundle), dict[str, Any]()
    with served(bundle, "--max-queue", "2000") as server:
        request = request_of(model, server.token)
        uvloop.run(closed_loop(server, request, 8, 1))
        for clients in (1, 8, 64):
            before = server.processor_s
            outcome = uvloop.run(closed_loop(server, request, clients, seconds))
            result[f"closed_loop_{clients}"] = {
                "requests_per_second": round(len(outcome.latencies) / outcome.seconds),
                "processor_us_per_request": round(1e6 * (server.processor_s - before) / len(outcome.latencies)),
                "latency_ms": outcome.quantiles(),
            }
        quiet = uvloop.run(open_loop(server, request, 20, 200, 2 * seconds))
        added = np.array(quiet.latencies) - np.array(quiet.services)
        result["added_ms_at_200_per_second"] = {k: round(float(np.quantile(added, q)), 3) for k, q in LEVELS.items()}
        in_json = uvloop.run(closed_loop(server, request_of(model, server.token, as_json=True), 8, seconds))
        result["json_requests_per_second"] = round(len(in_json.latencies) / in_json.seconds)
        result["request_bytes"] = {"binary": len(request), "json": len(request_of(model, server.token, as_json=True))}
        before = server.memory_mb
        many = uvloop.run(open_loop(server, request, 1000, 200, seconds))
        result["memory_mb"] = {"idle": round(before, 1), "after_1000_connections": round(server.memory_mb, 1)}
        result["answered_of_1000_clients"] = len(many.latencies)
    return result


def measured_service(server: Server, request: bytes, seconds: float) -> tuple[np.ndarray[Any, Any], float]:
    """Return service times while one client asks now and then, and the median of what is added to them."""
    alone = uvloop.run(open_loop(server, request, 1, 40, seconds))
    services = np.array(alone.services)
    return services, float(np.median(np.array(alone.latencies) - services))


def queue_of(services: np.ndarray[Any, Any], rate_hz: float, batch: int) -> Queue | BatchQueue:
    """Return the queue of one worker with these service times."""
    mean, variation = float(services.mean()), float(services.var() / services.mean() ** 2)
    if batch == 1:
        return Queue(rate_hz, mean, variation)
    return BatchQueue(rate_hz, mean, variation, batch=batch, fill_ms=FILL_MS)


@dataclass
class Prediction:
    """Latencies of waiting, service and what is added, by planning's queue."""

    queue: Queue | BatchQueue
    services: np.ndarray[Any, Any]
    added_ms: float

    def quantiles(self) -> dict[str, float]:
        """Return the usual quantiles; what is added, to one client, holds the wait for a batch that it cannot fill."""
        rng = np.random.default_rng(1)
        filling = self.queue.fill_ms if isinstance(self.queue, BatchQueue) else 0.0
        waits = self.queue.wait_ms(rng.random(200_000))
        total = waits + rng.choice(self.services, 200_000) + self.added_ms - filling
        return {name: round(float(np.quantile(total, q)), 3) for name, q in LEVELS.items()}

    def window_p99(self, requests: int) -> list[float]:
        """Return between what 90 of 100 measured p99 lie, of windows of so many requests in a queue of this kind."""
        batch = self.queue.batch if isinstance(self.queue, BatchQueue) else 1
        found = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            arrivals = np.cumsum(rng.exponential(1e3 / self.queue.rate_hz, requests))
            services = rng.choice(self.services, requests)
            ends, free, first = np.empty(requests), 0.0, 0
            filling = self.queue.fill_ms if isinstance(self.queue, BatchQueue) else 0.0
            while first < requests:
                full = arrivals[first + batch - 1] if first + batch <= requests else np.inf
                start = max(free, min(full, arrivals[first] + filling))
                end = min(int(np.searchsorted(arrivals, start, "right")), first + batch)
                end = max(end, first + 1)
                free = start + services[first]
                ends[first:end] = free
                first = end
            found.append(np.quantile(ends - arrivals, 0.99) + self.added_ms - filling)
        return [round(float(one), 2) for one in np.quantile(found, (0.05, 0.95))]


def queues(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Measure waits for a network that computes."""
    bundle = write_deployment(folder / "layers", SHAPE, writer=write_layers)
    with served(bundle, "--max-queue", "100000") as server:
        return _queue_rows(server, read_bundle(bundle), seconds, 1)


def sleeping_queues(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Measure waits for a network that sleeps, without batches and with them."""
    rows = []
    for batch in (1, 8):
        model = read_bundle(write_deployment(folder / f"sleeping-{batch}", SHAPE, batch=batch))
        with served_sleeping(batch) as server:
            rows += _queue_rows(server, model, 2 * seconds, batch)
    return rows


def _queue_rows(server: Server, model: ServedModel, seconds: float, batch: int) -> list[dict[str, Any]]:
    rows, request = list[dict[str, Any]](), request_of(model, server.token)
    uvloop.run(closed_loop(server, request, 1, 1))
    services, added = measured_service(server, request, 8)
    pooled: dict[float, list[float]] = {}
    for clients, load in [(clients, load) for clients in CLIENTS for load in LOADS]:
        rate = load * batch * 1e3 / float(services.mean())
        busy = server.processor_s
        outcome = uvloop.run(open_loop(server, request, clients, rate, seconds))
        prediction = Prediction(queue_of(services, rate, batch), services, added)
        expected, measured = prediction.quantiles(), outcome.quantiles()
        pooled.setdefault(load, []).extend(outcome.latencies)
        rows.append(
            {
                "batch": batch,
                "clients": clients,
                "load": load,
                "requests_per_second": round(rate, 1),
                "requests": len(outcome.latencies),
                "service_ms": {
                    "one_client": round(float(services.mean()), 3),
                    "within": round(float(np.mean(outcome.services)), 3),
                },
                "predicted_ms": expected,
                "p99_of_windows_ms": prediction.window_p99(len(outcome.latencies)),
                "measured_ms": measured,
                "p99_error": round(expected["p99"] / measured["p99"] - 1, 3),
                "server_processors": round((server.processor_s - busy) / outcome.seconds, 2),
                "machine_load": round(os.getloadavg()[0], 2),
            }
        )
        print(rows[-1], file=sys.stderr)
    for load, latencies in pooled.items():
        prediction = Prediction(queue_of(services, load * batch * 1e3 / float(services.mean()), batch), services, added)
        p99, expected_p99 = float(np.quantile(latencies, 0.99)), prediction.quantiles()["p99"]
        rows.append(
            {
                "batch": batch,
                "clients": "all",
                "load": load,
                "requests": len(latencies),
                "predicted_ms": {"p99": expected_p99},
                "p99_of_windows_ms": prediction.window_p99(len(latencies)),
                "measured_ms": {"p99": round(p99, 3)},
                "p99_error": round(expected_p99 / p99 - 1, 3),
            }
        )
        print(rows[-1], file=sys.stderr)
    return rows


def shedding(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Measure what is served of more requests than can be."""
    bundle, rows = write_deployment(folder / "shed", SHAPE, writer=write_layers), []
    model = read_bundle(bundle)
    waiting = 16
    with served(bundle, "--max-queue", str(waiting)) as server:
        request = request_of(model, server.token)
        uvloop.run(closed_loop(server, request, 1, 1))
        services, added = measured_service(server, request, 8)
        bound = (waiting + 2) * float(np.quantile(services, 0.9)) + added
        for load in (0.8, 1.2, 2.0, 4.0):
            outcome = uvloop.run(open_loop(server, request, 1000, load * 1e3 / float(services.mean()), seconds))
            total = len(outcome.latencies) + outcome.refused
            rows.append(
                {
                    "load": load,
                    "max_queue": waiting,
                    "answered_per_second": round(len(outcome.latencies) / outcome.seconds, 1),
                    "refused_share": round(outcome.refused / total, 3),
                    "bound_ms": round(bound, 1),
                    "served_ms": outcome.quantiles(),
                    "machine_load": round(os.getloadavg()[0], 2),
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def ray_overhead(folder: Path, seconds: float) -> dict[str, Any]:
    """Measure the same network in this process's server and in replicas of Ray Serve."""
    bundle = write_deployment(folder / "ray", SHAPE)
    model, result = read_bundle(bundle), dict[str, Any]()
    engines = {"uvicorn": (), "ray_1": ("--engine", "ray"), "ray_2": ("--engine", "ray", "--workers", "2")}
    for name, options in engines.items():
        with served(bundle, "--max-queue", "2000", *options) as server:
            request = request_of(model, server.token)
            uvloop.run(closed_loop(server, request, 4, 2))
            for clients in (1, 4, 16, 64):
                outcome = uvloop.run(closed_loop(server, request, clients, seconds))
                rate = round(len(outcome.latencies) / outcome.seconds)
                result.setdefault(f"{clients}_clients", {})[name] = {
                    "requests_per_second": rate,
                    "latency_ms": outcome.quantiles(),
                }
    return result


PARTS = {"speed": speed, "queue": queues, "sleeping": sleeping_queues, "shed": shedding, "ray": ray_overhead}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="speed, queue, sleeping, shed, ray")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    result: dict[str, Any] = {"machine_load_before": [round(one, 2) for one in os.getloadavg()]}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.parts:
            result[name] = PARTS[name](Path(folder), asked.seconds)
    result["machine_load_after"] = [round(one, 2) for one in os.getloadavg()]
    publish(stamped(result), asked.output)


if __name__ == "__main__":
    main()
