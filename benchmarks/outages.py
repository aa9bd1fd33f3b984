"""Clients of a cloud whose link goes away: 10,000 requests through 20 outages, and a recorded rural 5G link.

    python benchmarks/outages.py --trace /path/to/5g_n8_rural_outages_rtt.txt --json      # ten minutes
    python benchmarks/outages.py --requests 1000 --outages 3 --out /tmp                   # a minute
    python benchmarks/outages.py --packets --json                                         # ten minutes, as root

Three clients ask the same server through the same proxy, which holds all bytes back while the link is out: that of a
deployment; a naive one, which waits as long as it takes; and one that tries again as the joint inference of KubeEdge
Sedna does: five attempts, three seconds apart, without a timeout. Every request is one that the edge is unsure of. A
request is late 10 ms after its deadline, counted from its call; `from_due` counts from the time at which it was due, so
that the wait for an earlier one counts too. The proxy delays streams, not packets: there is no loss, and no slow start.

With `--packets` nothing is stood in for: `hwnas serve` answers over TLS, and client and server are on both ends of an
imposed link, between network namespaces, which in an outage drops every packet, both ways.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
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
from urllib.parse import urlsplit

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _results import publish, stamped  # noqa: E402

from hwnas.deploy.client.client import Client  # noqa: E402
from hwnas.deploy.client.connection import Cloud, Connection, Exchange  # noqa: E402
from hwnas.deploy.client.network import Encoder, read_plan  # noqa: E402
from tests.helpers.clouds import CloudDouble, StallingLink, cloud_double  # noqa: E402
from tests.helpers.edges import RAW, expected, image, write_edge  # noqa: E402

SLACK_MS = 10.0
ATTEMPTS, APART_S = 5, 3.0
Ask = Callable[[Any], str]
"""From an input to the origin of its answer."""


class Waiting:
    """A client that waits as long as it takes; with more than one attempt, an error is tried again after a pause."""

    def __init__(self, folder: Path, cloud: Cloud, attempts: int = 1) -> None:
        self._encoder, self._attempts = Encoder.of(read_plan(folder)), attempts
        url, context = urlsplit(cloud.url), cloud.context()
        assert url.hostname is not None
        if context is None:
            self._http = http.client.HTTPConnection(url.hostname, url.port)
        else:
            self._http = http.client.HTTPSConnection(url.hostname, url.port, context=context)
        self._token = {"Authorization": f"Bearer {cloud.token}"} if cloud.token else {}

    def __call__(self, sample: Any) -> str:
        body, length = self._encoder.body(sample)
        for attempt in range(self._attempts):
            with suppress(OSError, http.client.HTTPException):
                headers = {"Inference-Header-Content-Length": str(length), **self._token}
                self._http.request("POST", "/v2/models/cloud/infer", body, headers)
                self._http.getresponse().read()
                return "cloud"
            self._http.close()
            if attempt + 1 < self._attempts:
                time.sleep(APART_S)
        return "edge: failed"


def answer(content: bytes) -> tuple[int, Any]:
    return 200, expected(1, np.frombuffer(content, np.uint8).reshape(RAW))


def here(port: int) -> Cloud:
    """A server of this machine."""
    return Cloud(f"http://127.0.0.1:{port}")


Opened = tuple[Ask, StallingLink, CloudDouble]


@contextmanager
def clients(kind: str, delay_s: Callable[[], float], deadline_ms: float) -> Iterator[Opened]:
    """A client with a link and a server of its own."""
    with tempfile.TemporaryDirectory() as name:
        plan = write_edge(Path(name))
        with cloud_double(plan["plan"], answer) as server:
            link = StallingLink(server.server_address[1], delay_s)
            yield opened(kind, Path(name), here(link.port), deadline_ms), link, server
            link.close()


def opened(kind: str, folder: Path, cloud: Cloud, deadline_ms: float) -> Ask:
    if kind != "deployment":
        return Waiting(folder, cloud, ATTEMPTS if kind == "sedna" else 1)
    client = Client(cloud, folder)
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


def random_outages(count: int) -> list[tuple[float, float]]:
    """Return seconds of calm and of the outage after it, in turn."""
    rng = np.random.default_rng(0)
    return [(rng.uniform(2, 8), rng.uniform(0.2, 2.0)) for _ in range(count)]


def client_on_the_edge(told: dict[str, Any]) -> None:
    """Ask as the process on the edge's end of an imposed link, and print what was seen."""
    cloud = Cloud(told["url"], told["token"], told["ca"])
    ask, sent = opened(told["kind"], Path(told["folder"]), cloud, told["deadline_ms"]), sent_requests()
    first = time.monotonic()
    while ask(image(2**31)) != "cloud" and time.monotonic() < first + 10:
        time.sleep(0.2)
    print("ready", flush=True)
    seen = asked(ask, told["requests"], told["seconds"] / told["requests"], told["deadline_ms"], np.inf)
    time.sleep(3.0)  # what is still on its way arrives
    print(json.dumps({**seen, "sent": len(sent) or None, "served": served(cloud)}))


def sent_requests() -> list[Exchange]:
    """Return a list of what connections of deployments send from now on."""
    sent, send = list[Exchange](), Connection.send

    def noted(self: Connection, exchange: Exchange) -> None:
        sent.append(exchange)
        send(self, exchange)

    Connection.send = noted  # type: ignore[method-assign]
    return sent


def served(cloud: Cloud) -> int:
    """Return how many requests the server answered, as its own numbers tell."""
    url = urlsplit(cloud.url)
    assert url.hostname is not None
    asked_for = http.client.HTTPSConnection(url.hostname, url.port, context=cloud.context())
    asked_for.request("GET", "/metrics", headers={"Authorization": f"Bearer {cloud.token}"})
    found = re.search(r'hwnas_requests_total\{status="200"\} (\d+)', asked_for.getresponse().read().decode())
    assert found is not None
    return int(found[1])


def through_outages(kind: str, requests: int, outages: int, deadline_ms: float) -> dict[str, Any]:
    """Return what a client does while its link goes away at random times: all bytes are held back."""
    spans = random_outages(outages)
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
        ask = opened(kind, Path(name), here(nobody.getsockname()[1]), 50.0)
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
    parser.add_argument("--packets", action="store_true", help="drop packets between namespaces; as root")
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="write to docs/results/")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.client:
        client_on_the_edge(given.client)
        return
    result: dict[str, Any]
    kinds = ("deployment", "naive", "sedna")
    folder = ROOT / "docs" / "results" if given.json else given.out
    if given.packets:
        from _packet_outages import through_packet_outages

        spans = random_outages(given.outages)
        dropped = {kind: through_packet_outages(kind, given.requests, spans, given.deadline_ms) for kind in kinds}
        result = {"outages": given.outages, "deadline_ms": given.deadline_ms, "packets_dropped": dropped}
        publish(stamped(result), None if folder is None else folder / "outages_packets.json")
        return
    result = {
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
    publish(stamped(result), None if folder is None else folder / "outages.json")


if __name__ == "__main__":
    main()
