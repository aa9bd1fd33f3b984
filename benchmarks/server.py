"""Speed of `hwnas serve` and its queue beside what planning predicts: TLS, kept-open connections, 4 KB bodies.

    python benchmarks/server.py --json                # eleven minutes, two idle cores; writes to docs/results/
    python benchmarks/server.py sleeping --share 0.1  # shorter windows; the results of other parts stay

`speed`: a network that does almost nothing; requests a second of clients that ask again at once, the server's
processor time for a request, the time that the server adds, its memory with 1,000 connections, and tensors in JSON.
`sleeping`, `batches` and `computing`: 50, 200 and 1,000 clients that ask at random moments (Poisson, open loop: a
request that all clients are too busy for counts from the moment at which it was due), beside the quantiles that
`hwnas.collaborate.queueing` predicts; `own_p99_error` is that by the window's own service times and rate, so that
what changed since they were measured has no part in it. What it needs was measured before, in windows of their own at
the same load: service times as the server told them, how long a thread takes from one batch to the next, the
processor time of the server itself; and what is added to a request that is alone. Windows are so long that 90 of 100
of them have a 99 % quantile within some 12 % of the true one. The network of `computing` computes; those of the
others sleep for a random time instead, simulated and called so, the last in batches of eight. `shed`: more than the
server can do.

But for `speed`, the network has a core of its own, and the clients another; what takes the requests is on one of the
two. But for `speed` and `shed`, all of it has real-time priority: other work on the machine is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._results import publish, stamped
from benchmarks._server_load import (
    FILL_MS,
    ROOT,
    SHAPE,
    Server,
    closed_loop,
    connected,
    cores_apart,
    open_loop,
    quantiles_of,
    request_of,
    served,
    served_sleeping,
)
from hwnas.collaborate.queueing import BatchQueue, Queue
from hwnas.serve.bundle import read_bundle
from tests.helpers.deployments import write_deployment, write_layers

RESULTS = ROOT / "docs" / "results" / "server.json"
CLIENTS = (50, 200, 1000)
WINDOW_S = {0.5: 9.0, 0.8: 40.0}
"""Seconds of a window at a load."""
BEFORE_S = {1: 6.0, 8: 16.0}
"""Seconds of a window before them, by size of batches: of the mean service time, 1 % is 5 % of a tail at load 0.8."""
SIMULATED = 400_000
TOLERANCE = 0.15
METRICS = b"GET /metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %s\r\n\r\n"


def speed(folder: Path, share: float) -> dict[str, Any]:
    """Measure the server with a network that does almost nothing."""
    bundle, seconds = write_deployment(folder / "nothing", SHAPE), 5 * share
    model, result = read_bundle(bundle), dict[str, Any]()
    with served(bundle, "--max-queue", "2000") as server:
        request, in_json = (request_of(model, server.token, as_json=one) for one in (False, True))
        uvloop.run(closed_loop(server, request, 8, 1))
        for clients in (1, 8, 64):
            outcome = uvloop.run(closed_loop(server, request, clients, seconds))
            result[f"closed_loop_{clients}"] = {
                "requests_per_second": round(len(outcome.latencies) / outcome.seconds),
                "processor_us_per_request": round(1e3 * outcome.processor_ms),
                "latency_ms": outcome.quantiles(),
            }
        quiet = uvloop.run(open_loop(server, request, 20, 200, 2 * seconds))
        result["added_ms_at_200_per_second"] = quantiles_of(quiet.added)
        told = uvloop.run(closed_loop(server, in_json, 8, seconds))
        result["json_requests_per_second"] = round(len(told.latencies) / told.seconds)
        result["request_bytes"] = {"binary": len(request), "json": len(in_json)}
        before = server.memory_mb
        many = uvloop.run(open_loop(server, request, 1000, 200, seconds))
        result["memory_mb"] = {"idle": round(before, 1), "after_1000_connections": round(server.memory_mb, 1)}
        result["answered_of_1000_clients"] = len(many.latencies)
    return result


async def handovers(server: Server) -> tuple[float, int]:
    """Return the seconds between batches that the server counted so far, and their number."""
    [connection] = await connected(server, 1)
    _, body = await connection.ask(METRICS % server.token.encode())
    connection.transport.close()
    total, count = (
        float(re.search(rb"hwnas_handover_seconds_%s (\S+)" % part, body)[1])  # type: ignore[index]
        for part in (b"sum", b"count")
    )
    return total, int(count)


@dataclass(frozen=True)
class InPlace:
    """What a server took in windows before those that are predicted.

    Args:
        services: of the network, in ms.
        handover_ms: from one batch to the next.
        loop_ms: processor time of the server itself for a request.
        added_ms: to a request that is alone, beyond the network's time.
        fill_ms: longest wait for a batch.
        batch: most requests of one.
    """

    services: NDArray[Any]
    handover_ms: float
    loop_ms: float
    added_ms: float
    batch: int

    @classmethod
    def of(cls, server: Server, request: bytes, load: float, batch: int, computes: bool) -> InPlace:
        """Measure at a load, 50 clients, and one client alone."""
        alone = uvloop.run(open_loop(server, request, 1, 40, BEFORE_S[1] / 2))
        rate = load * batch * 1e3 / float(np.mean(alone.services))
        before = uvloop.run(handovers(server))
        busy = uvloop.run(open_loop(server, request, CLIENTS[0], rate, BEFORE_S[batch]))
        seconds, count = np.subtract(uvloop.run(handovers(server)), before)
        services = np.array(busy.services)
        loop_ms = busy.processor_ms - (float(services.mean()) / batch if computes else 0.0)
        added = float(np.median(alone.added)) - (FILL_MS if batch > 1 else 0.0)
        return cls(services, 1e3 * float(seconds) / max(float(count), 1.0), max(loop_ms, 0.0), added, batch)

    def rate_hz(self, load: float) -> float:
        """Return the requests a second that are so much of what the network can do."""
        return load * self.batch * 1e3 / float(self.services.mean())

    def queue(self, rate_hz: float) -> Queue | BatchQueue:
        """Return planning's queue at a rate."""
        taken = self.services + self.handover_ms
        if self.batch == 1:
            return Queue.measured(rate_hz, taken, loop_ms=self.loop_ms)
        return BatchQueue(
            rate_hz, float(taken.mean()), 0.0, 1, self.batch, FILL_MS, self.loop_ms, taken, simulated=SIMULATED
        )

    def predicted(self, rate_hz: float) -> dict[str, float]:
        """Return the quantiles of waits, service and what is added."""
        rng = np.random.default_rng(1)
        waits = self.queue(rate_hz).wait_ms(rng.random(SIMULATED))
        return quantiles_of(waits + rng.choice(self.services, SIMULATED) + self.added_ms)

    def of_windows(self, rate_hz: float, requests: int) -> list[float]:
        """Return between what the 99 % quantiles of 90 of 100 windows of so many requests lie, if the queue is such."""
        taken = self.services + self.handover_ms
        queue = BatchQueue(rate_hz, 1.0, 0.0, 1, self.batch, FILL_MS if self.batch > 1 else 0.0, self.loop_ms, taken)
        each = []
        for seed in range(40):
            services = np.random.default_rng(seed + 1000).choice(self.services, requests)
            each.append(np.quantile(queue.waits_of(seed, requests) + services, 0.99) + self.added_ms)
        return [round(float(one), 2) for one in np.quantile(each, (0.05, 0.95))]


def sleeping(folder: Path, share: float) -> list[dict[str, Any]]:
    """Measure waits for a network that sleeps."""
    return _of_sleeping(folder, share, 1)


def batches(folder: Path, share: float) -> list[dict[str, Any]]:
    """Measure waits for one that sleeps for a batch of eight."""
    return _of_sleeping(folder, share, 8)


def _of_sleeping(folder: Path, share: float, batch: int) -> list[dict[str, Any]]:
    model = read_bundle(write_deployment(folder / f"sleeping-{batch}", SHAPE, batch=batch))
    with cores_apart(), served_sleeping(batch) as server:
        return _rows(server, request_of(model, server.token), share, batch)


@contextmanager
def computing_server(folder: Path, *options: str, real_time: bool) -> Iterator[tuple[Server, bytes]]:
    """Serve a network that computes for some ms, on a core of its own; the event loop shares the clients'."""
    bundle = write_deployment(folder, SHAPE, writer=write_layers)
    with cores_apart(real_time=real_time), served(bundle, *options) as server:
        request = request_of(read_bundle(bundle), server.token)
        uvloop.run(closed_loop(server, request, 1, 1))
        server.leave_core_to_network()
        yield server, request


def computing(folder: Path, share: float) -> list[dict[str, Any]]:
    """Measure waits for a network that computes."""
    options = "--max-queue", "100000"
    with computing_server(folder / "computing", *options, real_time=True) as (server, request):
        return _rows(server, request, share, 1, computes=True)


def _rows(server: Server, request: bytes, share: float, batch: int, *, computes: bool = False) -> list[dict[str, Any]]:
    """Measure windows of all loads and clients, each beside its prediction."""
    rows = []
    for load, seconds in WINDOW_S.items():
        known = InPlace.of(server, request, load, batch, computes)
        rate = known.rate_hz(load)
        predicted = known.predicted(rate)
        for clients in CLIENTS:
            outcome = uvloop.run(open_loop(server, request, clients, rate, seconds * share))
            measured = outcome.quantiles()
            error = predicted["p99"] / measured["p99"] - 1
            row = {"batch": batch, "load": load, "clients": clients, "requests": len(outcome.latencies)}
            row |= {"requests_per_second": round(len(outcome.latencies) / outcome.seconds, 1)}
            row |= {"predicted_ms": predicted, "measured_ms": measured, "p99_error": round(error, 3)}
            row |= {"within": abs(error) <= TOLERANCE, "p99_of_windows_ms": known.of_windows(rate, row["requests"])}
            own = replace(known, services=np.array(outcome.services))
            of_its_own = own.predicted(row["requests_per_second"])["p99"] / measured["p99"] - 1
            row |= {"own_p99_error": round(of_its_own, 3)}
            row["service_ms"] = {
                "before": round(float(known.services.mean()), 3),
                "within": round(float(np.mean(outcome.services)), 3),
            }
            row |= {"handover_ms": round(known.handover_ms, 3), "loop_ms": round(known.loop_ms, 3)}
            row |= {"added_ms": round(known.added_ms, 3), "machine_load": round(os.getloadavg()[0], 2)}
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def shedding(folder: Path, share: float) -> list[dict[str, Any]]:
    """Measure what is served of more requests than can be."""
    rows, waiting = list[dict[str, Any]](), 16
    with computing_server(folder / "shed", "--max-queue", str(waiting), real_time=False) as (server, request):
        known = InPlace.of(server, request, 0.8, 1, True)
        bound = (waiting + 2) * float(np.quantile(known.services, 0.9)) + known.added_ms
        for load in (0.8, 1.2, 2.0):
            outcome = uvloop.run(open_loop(server, request, 1000, known.rate_hz(load), 6 * share))
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
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


PARTS = {"speed": speed, "sleeping": sleeping, "batches": batches, "computing": computing, "shed": shedding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all if left out")
    parser.add_argument("--share", type=float, default=1.0, help="of the length of all windows")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if asked.parts and RESULTS.exists() else {}
    loads = result.get("machine_load", {})
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.parts or PARTS:
            before = os.getloadavg()[0]
            result[name] = PARTS[name](Path(folder), asked.share)
            loads[name] = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    rows = [row for name in ("sleeping", "batches", "computing") for row in result.get(name, [])]
    result |= {"p99_within_15%": f"{sum(row['within'] for row in rows)} of {len(rows)}", "machine_load": loads}
    publish(stamped(result), RESULTS if asked.json else None)


if __name__ == "__main__":
    main()
