"""Speed of `hwnas serve` and its queue beside what planning predicts: TLS, kept-open connections, 4 KB bodies.

    python benchmarks/server.py speed queue shed ray -o docs/results/server.json     # six minutes, two idle cores

`speed`: a network that does almost nothing; requests a second of clients that ask again at once, the server's processor
time for a request, the time that the server adds, its memory with 1,000 connections, and tensors in JSON. `queue`: 50,
200 and 1,000 clients that
ask at random moments (Poisson, open loop: a request counts from the moment at which it was due, also if its client was
still waiting), of a network that takes some ms; beside it the quantiles that `hwnas.collaborate.queueing` predicts from
the service times that the server told while one client asked. `shed`: more than the server can do. `ray`: the same
with one and two replicas of Ray Serve. Clients and server share the machine.
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

from benchmarks._results import publish, stamped
from hwnas.collaborate.queueing import BatchQueue, Queue
from hwnas.serve.bundle import ServedModel, read_bundle
from hwnas.serve.protocol import HEADER_LENGTH
from tests.helpers.deployments import write_deployment, write_layers

ROOT = Path(__file__).resolve().parent.parent
HWNAS = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"
SHAPE = (1, 64, 64)
"""4,096 bytes."""
CLIENTS = (50, 200, 1000)
LOADS = (0.4, 0.6, 0.8)
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
def served(bundle: Path, *options: str) -> Iterator[Server]:
    """Serve a bundle with TLS and a token while the `with` block runs."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(bundle), "--port", "0", "--make-token", "--make-certificates", "--certificates", folder]
        command = [sys.executable, "-c", HWNAS, "serve", *arguments, *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "serving" in line:
                break
        text = "".join(lines)
        port, token = re.search(r"https://127.0.0.1:(\d+)", text), re.search(r"token, shown.*: (\S+)", text)
        if port is None or token is None:
            raise SystemExit(text)
        try:
            yield Server(process, int(port[1]), token[1], Path(folder) / "ca.pem")
        finally:
            process.terminate()
            process.communicate(timeout=60)


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
        own = {HEADER_LENGTH: str(len(model.request.header(sample.nbytes, model.plan)))}
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
        levels = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {name: round(float(np.quantile(self.latencies, level)), 3) for name, level in levels.items()}


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
        levels = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        result["added_ms_at_200_per_second"] = {k: round(float(np.quantile(added, q)), 3) for k, q in levels.items()}
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


def predicted(queue: Queue | BatchQueue, services: np.ndarray[Any, Any], added_ms: float) -> dict[str, float]:
    """Return the quantiles of waiting, service and what is added."""
    rng = np.random.default_rng(1)
    total = queue.wait_ms(rng.random(200_000)) + rng.choice(services, 200_000) + added_ms
    return {name: round(float(np.quantile(total, q)), 3) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def queue_of(services: np.ndarray[Any, Any], rate_hz: float, batch: int) -> Queue | BatchQueue:
    """Return the queue of one worker with these service times."""
    mean, variation = float(services.mean()), float(services.var() / services.mean() ** 2)
    if batch == 1:
        return Queue(rate_hz, mean, variation)
    return BatchQueue(rate_hz, mean, variation, batch=batch, fill_ms=2.0)


def queues(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Measure waits beside their prediction, without batches and with them."""
    rows = []
    for batch in (1, 8):
        bundle = write_deployment(folder / f"batch-{batch}", SHAPE, batch=batch, writer=write_layers)
        model = read_bundle(bundle)
        with served(bundle, "--max-queue", "100000") as server:
            request = request_of(model, server.token)
            uvloop.run(closed_loop(server, request, 1, 1))
            services, added = measured_service(server, request, seconds)
            for clients, load in [(clients, load) for clients in CLIENTS for load in LOADS]:
                rate = load * batch * 1e3 / float(services.mean())
                queue = queue_of(services, rate, batch)
                outcome = uvloop.run(open_loop(server, request, clients, rate, seconds))
                guess, got = predicted(queue, services, added), outcome.quantiles()
                again = np.array(outcome.services)
                rows.append(
                    {
                        "batch": batch,
                        "clients": clients,
                        "load": load,
                        "requests_per_second": round(rate, 1),
                        "requests": len(outcome.latencies),
                        "service_ms": {
                            "before": round(float(services.mean()), 3),
                            "within": round(float(again.mean()), 3),
                        },
                        "predicted_ms": guess,
                        "predicted_from_service_within_ms": predicted(queue_of(again, rate, batch), again, added)
                        if rate * again.mean() / 1e3 / batch < 1
                        else None,
                        "measured_ms": got,
                        "p99_error": round(guess["p99"] / got["p99"] - 1, 3),
                        "machine_load": round(os.getloadavg()[0], 2),
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
        services, added = measured_service(server, request, seconds)
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


PARTS = {"speed": speed, "queue": queues, "shed": shedding, "ray": ray_overhead}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="speed, queue, shed, ray")
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
