"""The time that a request takes over TCP: handshakes, slow start, loss, and the link's rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.links.series import Capacity, ConstantDelay, ConstantRate, Delay
from hwnas.latency.posterior import Floats

Way = Callable[[Floats], Floats]
Connection = Literal["cold", "idle", "warm"]
"""`cold`: a new connection, with the handshakes of TCP and TLS 1.3. `idle`: an open one whose window fell back to the
initial one. `warm`: an open one in steady use, whose window does not limit it."""

INITIAL_WINDOW = 10
"""Segments of the first flight (RFC 6928)."""
SEGMENT_BYTES = 1448
"""Bytes that a segment carries at an MTU of 1,500, with IPv4 and timestamps."""
PACKET_BYTES = 1500
ACKNOWLEDGED_BYTES = 2 * PACKET_BYTES
"""Every second segment is acknowledged (RFC 5681), so the first acknowledgement of a flight tells of two."""
HANDSHAKES = {"cold": 2, "idle": 0, "warm": 0}
"""Round trips before the first byte: one of TCP, one of TLS 1.3."""
RECORD_BYTES, RECORD_OVERHEAD = 16_384, 22
"""Bytes of a TLS record, and those that it adds."""
PROBED_SEGMENTS = 3
"""A loss among the last segments of a flight is noticed by a probe after two round trips (RFC 8985), not by repeated
acknowledgements after one."""
MOST_FLIGHTS = 64
MODEL_ERROR: Mapping[Connection, float] = {"cold": 0.021, "idle": 0.014, "warm": 0.046}
"""Standard deviation of a request's measured time on its way, over what this model predicts: 1.48 times the median of
the absolute errors of 15 settings each (docs/results/imposed_link.json)."""


class Transfer(NamedTuple):
    """A request's way over a link, in ms, for each draw."""

    set_up: Floats
    """Outages, waking the radio, and handshakes."""
    up: Floats
    """From the first byte that leaves the edge to the last one that reaches the cloud."""
    down: Floats
    """The same of the answer."""

    @property
    def total(self) -> Floats:
        """All of it, without the cloud's own time."""
        return self.set_up + self.up + self.down

    def scaled(self, factor: Floats) -> Transfer:
        """Return so many times the time of each step."""
        return Transfer(self.set_up * factor, self.up * factor, self.down * factor)


@dataclass(frozen=True, eq=False)
class LinkDraws:
    """A link as some requests meet it: capacities, round trips and losses.

    Args:
        start_ms: when each request begins to use the link.
        up: capacity towards the cloud.
        down: capacity towards the edge.
        delay: round trips.
        connection: state that the requests find the connection in.
        promotion_ms: time that a sleeping radio takes to wake, for connections that are not warm.
        lost: for each request, the share of segments that are lost; None if none are.
        luck: (2, ...) uniform numbers that decide which requests meet a loss on their way up, and down.
        held_ms: for each request, the time until an outage is over that it begins in; 0 if it begins in none.
    """

    start_ms: Floats
    up: Capacity
    down: Capacity
    delay: Delay
    connection: Connection = "idle"
    promotion_ms: float = 0.0
    lost: float = 0.0
    luck: Floats | None = None
    held_ms: Floats | float = 0.0

    def scaled(self, rate: float, rtt: float) -> LinkDraws:
        """Return the link with both rates times one factor, and round trips times another."""
        up, down, delay = self.up.scaled(rate), self.down.scaled(rate), self.delay.scaled(rtt)
        return replace(self, up=up, down=down, delay=delay)

    def at(self, rows: NDArray[np.intp]) -> LinkDraws:
        """Return the link as some of its requests meet it, in an order and a shape of their own."""
        count = self.start_ms.shape

        def some(values: Floats | float) -> Floats:
            return np.broadcast_to(values, count)[rows]

        up, down = (
            replace(way, mbps=some(way.mbps)) if isinstance(way, ConstantRate) else way for way in (self.up, self.down)
        )
        delay = replace(self.delay, ms=some(self.delay.ms)) if isinstance(self.delay, ConstantDelay) else self.delay
        luck = None if self.luck is None else self.luck[:, rows]
        return replace(
            self, start_ms=some(self.start_ms), up=up, down=down, delay=delay, luck=luck, held_ms=some(self.held_ms)
        )

    def transfer(self, up_bytes: Floats, down_bytes: Floats, server_ms: Floats | float = 0.0) -> Transfer:
        """Return the times of requests of `up_bytes` whose answers have `down_bytes`; the cloud takes `server_ms`."""
        start = self.start_ms
        begun = start + self.held_ms + (self.promotion_ms if self.connection != "warm" else 0.0)
        ways = self.delay.up_ms, self.delay.down_ms
        for _ in range(HANDSHAKES[self.connection]):
            there = begun + ways[0](begun)
            begun = there + ways[1](there)
        up_luck, down_luck = (None, None) if self.luck is None else self.luck
        arrived = self._delivered(self.up, ways, begun, wire_bytes(up_bytes), up_luck)
        answered = arrived + server_ms
        back = self._delivered(self.down, ways[::-1], answered, wire_bytes(down_bytes), down_luck)
        return Transfer(begun - start, arrived - begun, back - answered)

    def _delivered(
        self, capacity: Capacity, ways: tuple[Way, Way], start_ms: Floats, size: Floats, luck: Floats | None
    ) -> Floats:
        """Return when the last byte arrives: flights that double, each when the first segments of the one before are
        acknowledged or as soon as the link has taken that one. Nothing overtakes what left before it."""
        there, back = ways
        window = float("inf") if self.connection == "warm" else INITIAL_WINDOW * PACKET_BYTES
        begins, left = np.broadcast_arrays(np.asarray(start_ms, dtype=float), np.asarray(size, dtype=float))
        ends = arrived = begins
        for _ in range(MOST_FLIGHTS):
            sent = np.minimum(left, window)
            first_ends = capacity.finish_ms(begins, np.minimum(sent, ACKNOWLEDGED_BYTES))
            first = first_ends + there(first_ends)
            ends = np.where(left > 0, capacity.finish_ms(begins, sent), ends)
            arrived = np.where(left > 0, np.maximum(np.maximum(arrived, first), ends + there(ends)), arrived)
            left = left - sent
            if not (left > 0).any():
                break
            begins = np.where(left > 0, np.maximum(ends, first + back(first)), begins)
            window *= 2
        return arrived + self._repaired(ends, size, luck)

    def _repaired(self, time_ms: Floats, size: Floats, luck: Floats | None) -> Floats | float:
        """Return the time in which a lost segment is noticed and sent again."""
        if not self.lost or luck is None:
            return 0.0
        segments = np.maximum(np.ceil(size / PACKET_BYTES), 1.0)
        any_lost = 1.0 - (1.0 - self.lost) ** segments
        at_end = 1.0 - (1.0 - self.lost) ** np.minimum(segments, PROBED_SEGMENTS)
        trips = np.where(luck < at_end, 3.0, np.where(luck < any_lost, 1.0, 0.0))
        repaired: Floats = trips * self.delay.at_ms(time_ms)
        return repaired


def wire_bytes(size: Floats | float) -> Floats:
    """Return the bytes on the wire of so many bytes of HTTP: with TLS records, and headers of TCP and IP.

    >>> float(wire_bytes(1_000))
    1074.0
    """
    secured = size + RECORD_OVERHEAD * np.ceil(np.asarray(size) / RECORD_BYTES)
    wired: Floats = secured + (PACKET_BYTES - SEGMENT_BYTES) * np.ceil(secured / SEGMENT_BYTES)
    return wired


def flights(size: int, window: int = INITIAL_WINDOW) -> int:
    """Return the number of flights in which slow start sends so many bytes on a link that is never full.

    >>> [flights(size) for size in (3_072, 15_680, 75_264, 150_528, 802_816)]
    [1, 2, 3, 4, 6]
    """
    count, carried = 0, 0
    while carried < size:
        carried += window * SEGMENT_BYTES * 2**count
        count += 1
    return count
