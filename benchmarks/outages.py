"""Clients of a cloud whose link goes away: 10,000 requests through 20 outages, and a recorded rural 5G link.

    python benchmarks/outages.py --trace /path/to/5g_n8_rural_outages_rtt.txt --json      # ten minutes
    python benchmarks/outages.py --requests 1000 --outages 3 --out /tmp                   # a minute

Three clients ask the same server through the same proxy, which holds all bytes back while the link is out: that of a
deployment; a naive one, which waits as long as it takes; and one that tries again as the joint inference of KubeEdge
Sedna does: five attempts, three seconds apart, without a timeout. Every request is one that the edge is unsure of. A
request is late 10 ms after its deadline, counted from its call; `from_due` counts from the time at which it was due, so
that the wait for an earlier one counts too. The proxy delays streams, not packets: there is no loss, and no slow start.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _results import publish, stamped  # noqa: E402

from hwnas.deploy.client.client import Client  # noqa: E402
from hwnas.deploy.client.connection import Cloud  # noqa: E402
from hwnas.deploy.client.network import Encoder, read_plan  # noqa: E402
from tests.helpers.clouds import CloudDouble, StallingLink, cloud_double  # noqa: E402
from tests.helpers.edges import RAW, expected, image, write_edge  # noqa: E402

SLACK_MS = 10.0
ATTEMPTS, APART_S = 5, 3.0
Ask = Callable[[Any], str]
"""From an input to the origin of its answer."""


class Waiting:
    """A client that waits as long as it takes; with more than one attempt, an error is tried again after a pause."""

    def __init__(self, folder: Path, port: int, attempts: int = 1) -> None:
        self._encoder, self._port, self._attempts = Encoder.of(read_plan(folder)), port, attempts
        self._http = http.client.HTTPConnection("127.0.0.1", port)

    def __call__(self, sample: Any) -> str:
        body, length = self._encoder.body(sample)
        for attempt in range(self._attempts):
            with suppress(OSError, http.client.HTTPException):
                self._http.request(
                    "POST", "/v2/models/cloud/infer", body, {"Inference-Header-Content-Length": str(length)}
                )
                self._http.getresponse().read()
                return "cloud"
            self._http.close()
            if attempt + 1 < self._attempts:
                time.sleep(APART_S)
        return "edge: failed"


def answer(content: bytes) -> tuple[int, Any]:
    return 200, expected(1, np.frombuffer(content, np.uint8).reshape(RAW))


Opened = tuple[Ask, StallingLink, CloudDouble]


@contextmanager
def clients(kind: str, delay_s: Callable[[], float], deadline_ms: float) -> Iterator[Opened]:
    """A client with a link and a server of its own."""
    with tempfile.TemporaryDirectory() as name:
        plan = write_edge(Path(name))
        with cloud_double(plan["plan"], answer) as server:
            link = StallingLink(server.server_address[1], delay_s)
            yield opened(kind, Path(name), link.port, deadline_ms), link, server
            link.close()


def opened(kind: str, folder: Path, port: int, deadline_ms: float) -> Ask:
    if kind != "deployment":
        return Waiting(folder, port, ATTEMPTS if kind == "sedna" else 1)
    client = Client(Cloud(f"http://127.0.0.1:{port}"), folder)
    return lambda sample: client.infer(sample, deadline_ms).origin


def asked(ask: Ask, count: int, interval_s: float, deadline_ms: float, until_s: float) -> dict[str, Any]:
    """Ask at due times, one after the other, and return what was seen."""
    origins, called, due_ms, begun = Counter[str](), list[float](), list[float](), time.monotonic()
    for number in range(count):
        due = begun + number * interval_s
        time.sleep(max(due - time.monotonic(), 0.0))
        now = time.monotonic()
        if now - begun > until_s:
            break
        origins[ask(image(number))] += 1
        done = time.monotonic()
        called.append(1e3 * (done - now))
        due_ms.append(1e3 * (done - due))
    return {
        "requests": count,
        "answered": len(called),
        "late": share_late(called, deadline_ms),
        "late_from_due": share_late([*due_ms, *[np.inf] * (count - len(due_ms))], deadline_ms),
        "p50_ms": round(float(np.median(called)), 2),
        "p99_ms": round(float(np.quantile(called, 0.99)), 1),
        "longest_ms": round(max(called), 1),
        "origins": dict(origins),
    }


def share_late(times_ms: Sequence[float], deadline_ms: float) -> float:
    return round(float(np.mean(np.array(times_ms) > deadline_ms + SLACK_MS)), 5)


def through_outages(kind: str, requests: int, outages: int, deadline_ms: float) -> dict[str, Any]:
    """Return what a client does while its link goes away at random times: all bytes are held back."""
    rng = np.random.default_rng(0)
    spans = [(rng.uniform(2, 8), rng.uniform(0.2, 2.0)) for _ in range(outages)]
    whole, stop = sum(map(sum, spans)) + 1.0, threading.Event()

    def break_often(link: StallingLink) -> None:
        for calm, out in spans:
            stop.wait(calm)
            link.cut()
            stop.wait(out)
            link.restore()

    with clients(kind, lambda: 0.002, deadline_ms) as (ask, link, server):
        breaker = threading.Thread(target=break_often, args=(link,))
        breaker.start()
        seen = asked(ask, requests, whole / requests, deadline_ms, np.inf)
        stop.set()
        breaker.join()
        return {**seen, "most_often_at_the_server": max(server.asked.values())}


def along(trace: Path, kind: str, seconds: float, deadline_ms: float) -> dict[str, Any]:
    """Return what a client does over a link with the recorded round trips."""
    table = np.loadtxt(trace, skiprows=1, usecols=(0, 2))
    starts, rtt_ms, begun = (table[:, 0] - table[0, 0]) / 1e3, table[:, 1], time.monotonic()

    def delay_s() -> float:
        now = (time.monotonic() - begun) % starts[-1]
        return float(rtt_ms[np.searchsorted(starts, now, side="right") - 1]) / 2e3

    with clients(kind, delay_s, deadline_ms) as (ask, _, _):
        return asked(ask, round(10 * seconds), 0.1, deadline_ms, seconds)


def refused(kind: str) -> float:
    """Return the seconds until a request is answered where no server listens."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        write_edge(Path(name))
        ask = opened(kind, Path(name), nobody.getsockname()[1], 50.0)
        begun = time.monotonic()
        ask(image(0))
        return round(time.monotonic() - begun, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--outages", type=int, default=20)
    parser.add_argument("--deadline-ms", type=float, default=50.0)
    parser.add_argument("--trace", type=Path, help="round trips, as shared/data/links has them")
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--json", action="store_true", help="write to docs/results/")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kinds = ("deployment", "naive", "sedna")
    result: dict[str, Any] = {
        "outages": given.outages,
        "deadline_ms": given.deadline_ms,
        "through_outages": {
            kind: through_outages(kind, given.requests, given.outages, given.deadline_ms) for kind in kinds
        },
    }
    if given.trace:
        result["trace"], result["trace_deadline_ms"] = given.trace.name, 150.0
        result["along_the_trace"] = {kind: along(given.trace, kind, given.seconds, 150.0) for kind in kinds}
    result["seconds_without_a_server"] = {kind: refused(kind) for kind in kinds}
    folder = ROOT / "docs" / "results" if given.json else given.out
    publish(stamped(result), None if folder is None else folder / "outages.json")


if __name__ == "__main__":
    main()
