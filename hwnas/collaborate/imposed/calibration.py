"""Calibration of an imposed link: its round trip and rates as datagrams meet them, beside what was asked."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from dataclasses import dataclass, replace
from typing import Any

from hwnas.collaborate.imposed.link import ENDS, End, ImposedLink, LinkState
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS, EDGE_ADDRESS
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import BYTES_PER_MS
from hwnas.collaborate.links.tcp import PACKET_BYTES
from hwnas.errors import RunError

RTT_TOLERANCE_MS, RTT_TOLERANCE = 1.0, 0.02
RATES_TOLERANCE = 0.03
PINGS = 21
TRAIN_MS, LEAST_TRAIN, MOST_TRAIN = 300.0, 4, 300
"""Time that a train of packets takes, and limits of its length."""
HEADER_BYTES = 28
"""Headers of UDP and IP."""
TRAIN_BYTES = PACKET_BYTES - HEADER_BYTES
SO_TIMESTAMPNS = 35
CALIBRATION_TRIES = 6
REST_BETWEEN_TRIES_S = 2.0
"""Whatever disturbed a calibration, such as processes that start, may be over then."""
DATAGRAM_PATIENCE_S = 30.0
PORT = 9
ADDRESSES = {"edge": EDGE_ADDRESS, "cloud": CLOUD_ADDRESS}


@dataclass(frozen=True)
class Calibration:
    """Medians of an imposed link, asked and met.

    Args:
        rtt_ms: round trips asked and met.
        up_mbps: rates towards the cloud, likewise.
        down_mbps: rates towards the edge, likewise.
        tries: of the calibration; the last one counts.
    """

    rtt_ms: tuple[float, float]
    up_mbps: tuple[float, float]
    down_mbps: tuple[float, float]
    tries: int = 1

    @property
    def extra_rtt_ms(self) -> float:
        """Round trip beyond the one that was asked for."""
        return self.rtt_ms[1] - self.rtt_ms[0]

    def applied_to(self, link: LinkModel) -> LinkModel:
        """Return a link with the round trips that are met where its own are asked for."""
        known, recorded, extra = link.rtt_ms, link.series.rtt, self.extra_rtt_ms
        longer = Quantiles(known.p5 + extra, known.p50 + extra, known.p95 + extra)
        steps = None if recorded is None else replace(recorded, values=recorded.values + extra)
        return replace(link, rtt_ms=longer, series=replace(link.series, rtt=steps))

    @property
    def problem(self) -> str:
        """Problem in words: a figure that is not within its tolerance; empty if all are."""
        wanted, measured = self.rtt_ms
        if abs(measured - wanted) > max(RTT_TOLERANCE_MS, RTT_TOLERANCE * wanted):
            return f"its round trip is {measured:.4g} ms for {wanted:.4g}"
        for name in ("up", "down"):
            wanted, measured = getattr(self, f"{name}_mbps")
            if abs(measured / wanted - 1) > RATES_TOLERANCE:
                return f"its rate {name} is {measured:.4g} Mbps for {wanted:.4g}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return the calibration, ready for JSON."""
        pairs = {name: dict(zip(("asked", "met"), getattr(self, name), strict=True)) for name in FIGURES}
        tolerance = {"rtt_ms": RTT_TOLERANCE_MS, "rtt": RTT_TOLERANCE, "rate": RATES_TOLERANCE}
        return {**pairs, "tolerance": tolerance, "tries": self.tries}


FIGURES = ("rtt_ms", "up_mbps", "down_mbps")


def calibrate(link: ImposedLink, state: LinkState) -> Calibration:
    """Return how a constant state of a link is met.

    Raises:
        RunError: not within the tolerance, at several tries.
    """
    for number in range(1, CALIBRATION_TRIES + 1):
        time.sleep(REST_BETWEEN_TRIES_S if number > 1 else 0.0)
        found = measure_link(link, state, number)
        if not found.problem:
            return found
    raise RunError(
        f"the imposed link is not as it was asked for: {found.problem}",
        where="calibration before the measurement",
        allowed=f"Round trips within {RTT_TOLERANCE_MS:g} ms or {RTT_TOLERANCE:.0%}, rates within "
        f"{RATES_TOLERANCE:.0%}; one core carries some 100 Mbps",
        do="Measure again while the machine does little else, or over a slower link",
    )


def measure_link(link: ImposedLink, state: LinkState, number: int = 1) -> Calibration:
    """Return the medians of a constant state of a link, asked and met."""
    assert state.up_mbps is not None
    assert state.down_mbps is not None
    assert state.rtt_ms is not None
    link.set_state(state)
    sockets = {end: link.socket(end, socket.SOCK_DGRAM) for end in ENDS}
    try:
        for end, one in sockets.items():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            one.bind((ADDRESSES[end], PORT))
            one.settimeout(DATAGRAM_PATIENCE_S)
        trips = statistics.median(_ping_ms(sockets) for _ in range(PINGS))
        serial = (HEADER_BYTES + 1) / BYTES_PER_MS * (1 / state.up_mbps + 1 / state.down_mbps)
        up, down = _rate_mbps(sockets, "edge", state.up_mbps), _rate_mbps(sockets, "cloud", state.down_mbps)
    finally:
        for one in sockets.values():
            one.close()
    return Calibration((state.rtt_ms, trips - serial), (state.up_mbps, up), (state.down_mbps, down), number)


def _ping_ms(sockets: dict[End, socket.socket]) -> float:
    """Return the time of one byte to the cloud and back, by the kernel's time of each arrival: that this process wakes
    late is not the link's."""
    took_s = 0.0
    for sender, receiver in (ENDS, ENDS[::-1]):
        begun_s = time.time()
        sockets[sender].sendto(b"?", (ADDRESSES[receiver], PORT))
        took_s += _arrival_s(sockets[receiver]) - begun_s
    return took_s * 1e3


def _arrival_s(receiver: socket.socket) -> float:
    """Return when the next datagram arrived, by the kernel."""
    seconds, nanoseconds = struct.unpack("qq", receiver.recvmsg(TRAIN_BYTES, 64)[1][0][2])
    return float(seconds + nanoseconds * 1e-9)


def _rate_mbps(sockets: dict[End, socket.socket], sender: End, wanted: float) -> float:
    """Return the rate at which a train of packets arrives that left at once, by the kernel's time of each."""
    receiver: End = "cloud" if sender == "edge" else "edge"
    count = int(min(max(wanted * BYTES_PER_MS * TRAIN_MS / PACKET_BYTES, LEAST_TRAIN), MOST_TRAIN))
    for _ in range(count):
        sockets[sender].sendto(bytes(TRAIN_BYTES), (ADDRESSES[receiver], PORT))
    times_s = [_arrival_s(sockets[receiver]) for _ in range(count)]
    return (count - 1) * PACKET_BYTES / BYTES_PER_MS / ((times_s[-1] - times_s[0]) * 1e3)
