"""Requests over an imposed link beside their prediction: TCP for some sizes.

    python benchmarks/imposed_link.py --json       # five minutes, as root; writes to docs/results/

HTTPS requests of five sizes over links that do not vary, on connections that are cold, idle or warm, beside what the
model of TCP predicts. What the two ends of HTTPS take on this machine is measured over a link without delay, and added
to the prediction.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._https_echo import ANSWER_HEADER, PORT, make_certificate
from benchmarks._results import publish, stamped
from hwnas.collaborate.imposed.calibration import calibrate
from hwnas.collaborate.imposed.link import ImposedLink, LinkState
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS, congestion_control
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.tcp import Connection
from hwnas.collaborate.wire import HTTP_BYTES

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "imposed_link.json"
SIZES = (1_000, 15_000, 31_000, 75_000, 150_000)
ANSWER = 300
LINKS = {
    "10.6 Mbps, 85 ms": (10.6, 27.1, 85.0),
    "10.6 Mbps, 20 ms": (10.6, 27.1, 20.0),
    "34 Mbps, 20 ms": (34.0, 137.0, 20.0),
}
CONNECTIONS: tuple[Connection, ...] = ("cold", "idle", "warm")
WITHOUT_DELAY = LinkState(10_000.0, 10_000.0, 0.0)
WARMING = 6
TOLERANCE = 0.10
PADDING = "x" * (HTTP_BYTES - 200)


class Client:
    """HTTPS requests from the edge of an imposed link."""

    def __init__(self, link: ImposedLink, certificate: Path) -> None:
        self._link = link
        self._context = ssl.create_default_context(cafile=str(certificate))
        self._context.check_hostname = False
        self._socket = self._connection = None

    def prepare(self) -> None:
        """Make a socket; entering a namespace takes time of its own."""
        self._socket = self._link.socket("edge", socket.SOCK_STREAM)

    def connect(self) -> None:
        """Open a new connection, with TLS."""
        self._socket.connect((CLOUD_ADDRESS, PORT))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = http.client.HTTPConnection(CLOUD_ADDRESS)
        self._connection.sock = self._context.wrap_socket(self._socket)

    def ask(self, size: int) -> None:
        """Send a request and read its answer."""
        headers = {"X-Padding": PADDING, ANSWER_HEADER: str(ANSWER)}
        self._connection.request("POST", "/v2/models/cloud/infer", body=bytes(size), headers=headers)
        self._connection.getresponse().read()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def timed_ms(work: Callable[[], None]) -> float:
    """Milliseconds of some work."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def request_ms(client: Client, connection: Connection, size: int, rtt_ms: float) -> float:
    """Milliseconds of one request on a connection of a kind; an open one whose window never grew is as one that
    rested."""
    if connection == "warm":
        return timed_ms(lambda: client.ask(size))
    client.prepare()
    time.sleep(0.02)
    if connection == "idle":
        client.connect()
        time.sleep(rtt_ms * 2e-3)
        took = timed_ms(lambda: client.ask(size))
    else:
        took = timed_ms(lambda: (client.connect(), client.ask(size)))
    client.close()
    return took


def median_ms(client: Client, connection: Connection, size: int, rtt_ms: float, count: int) -> tuple[float, float]:
    """Median of some requests, and half of the distance between their quartiles."""
    if connection == "warm":
        client.prepare()
        client.connect()
        for _ in range(WARMING):
            client.ask(size)
    taken = [request_ms(client, connection, size, rtt_ms) for _ in range(count)]
    if connection == "warm":
        client.close()
    low, high = np.quantile(taken, [0.25, 0.75])
    return median(taken), float(high - low) / 2


def requests_over(link: ImposedLink, client: Client, name: str, count: int) -> list[dict[str, Any]]:
    """Requests of all sizes and connections over one link, with their predictions."""
    up, down, rtt = LINKS[name]
    rows = []
    for connection in CONNECTIONS:
        model = LinkModel(name, *map(Quantiles.constant, (up, down, rtt)), connection=connection)
        for size in SIZES:
            link.set_state(WITHOUT_DELAY)
            ends_ms = median_ms(client, connection, size, 0.0, count)[0]
            link.set_state(LinkState(up, down, rtt))
            took, spread = median_ms(client, connection, size, rtt, count)
            way = model.quick_draws(0, 1).transfer(np.array(float(size + HTTP_BYTES)), np.array(float(ANSWER + 60)))
            predicted = float(way.total[0]) + ends_ms
            row = {"link": name, "connection": connection, "bytes": size, "imposed_ms": took, "half_spread_ms": spread}
            row |= {"predicted_ms": predicted, "ends_ms": ends_ms, "error": predicted / took - 1}
            row["bytes_over_rate_error"] = (rtt + size * 8e-3 / up) / took - 1
            print(
                {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True
            )
            rows.append(row)
    return rows


def tcp_study(count: int) -> dict[str, Any]:
    """All requests over all links."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        usual = Quantiles.constant(1.0)
        with ImposedLink(LinkModel("constant", usual, usual, usual)) as link:
            command = [sys.executable, Path(__file__).with_name("_https_echo.py"), CLOUD_ADDRESS, certificate]
            server = link.popen("cloud", command, stdout=subprocess.PIPE, text=True)
            server.stdout.readline()
            client = Client(link, certificate)
            calibrations = {name: calibrate(link, LinkState(*LINKS[name])).as_dict() for name in LINKS}
            rows = [row for name in LINKS for row in requests_over(link, client, name, count)]
            facts = link.facts()
    within = [abs(row["error"]) <= TOLERANCE for row in rows]
    return {
        "what": "HTTPS requests over an imposed link that does not vary, medians, beside their prediction",
        "requests_each": count,
        "congestion_control": congestion_control(),
        "load_average": os.getloadavg(),
        "calibration": calibrations,
        "emulator": facts,
        "within_10_percent": sum(within),
        "settings": len(rows),
        "worst_error": max((row["error"] for row in rows), key=abs),
        "rows": rows,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=15, help="of each size, connection and link")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    options = parser.parse_args()
    publish(stamped(tcp_study(options.requests)), RESULTS if options.json else None)


if __name__ == "__main__":
    main()
