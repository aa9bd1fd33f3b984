"""Points at which two plans are equally good, in closed form: rate, round trip, bytes and price.

The forms take the link as constant: a request takes `flights` round trips and the time of its bytes at the link's rate,
which holds where the round trip is longer than a flight takes to leave.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.collaborate.links.presets import Radio
from hwnas.collaborate.links.series import BYTES_PER_MS

BITS_PER_BYTE_MS = 1 / BYTES_PER_MS
"""Milliseconds of a byte at one megabit per second."""


@dataclass(frozen=True)
class BreakEven:
    """Computing on the edge against sending to the cloud.

    Args:
        edge_ms: time of the edge's own answer.
        cloud_ms: time in the cloud, on the edge before sending, and of the answer's bytes.
        wire_bytes: bytes that a request puts on the wire.
        flights: round trips that it takes, answer included.

    Example:
        >>> BreakEven(edge_ms=200, cloud_ms=20, wire_bytes=150_000, flights=1).rate_mbps(80)
        12.0
    """

    edge_ms: float
    cloud_ms: float
    wire_bytes: float
    flights: int

    def rate_mbps(self, rtt_ms: float) -> float | None:
        """Return the rate above which the cloud answers first; None if no rate is high enough."""
        left = self.edge_ms - self.cloud_ms - self.flights * rtt_ms
        return BITS_PER_BYTE_MS * self.wire_bytes / left if left > 0 else None

    def rtt_ms(self, rate_mbps: float) -> float | None:
        """Return the round trip below which the cloud answers first; None if none is short enough."""
        left = self.edge_ms - self.cloud_ms - BITS_PER_BYTE_MS * self.wire_bytes / rate_mbps
        return left / self.flights if left > 0 else None

    def bytes(self, rate_mbps: float, rtt_ms: float) -> float | None:
        """Return the bytes below which the cloud answers first, in as many flights; None if none are few enough."""
        left = self.edge_ms - self.cloud_ms - self.flights * rtt_ms
        return left * rate_mbps / BITS_PER_BYTE_MS if left > 0 else None


def energy_bytes(saved_mj: float, radio: Radio, rate_mbps: float) -> float:
    """Return the bytes whose sending takes the energy that the edge saves by not computing."""
    return saved_mj * 1e3 * rate_mbps / (BITS_PER_BYTE_MS * (radio.up_mw + radio.up_mw_per_mbps * rate_mbps))


def price_per_gb(saved_per_request: float, sent_bytes: float) -> float:
    """Return the price of a gigabyte at which traffic costs what a request saves elsewhere."""
    return saved_per_request * 1e9 / sent_bytes
