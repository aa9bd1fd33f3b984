"""One direction of an imposed link: when a packet that comes now arrives, in the link's own time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hwnas.collaborate.links.series import Capacity
from hwnas.collaborate.links.tcp import Way

Outage = Literal["hold", "drop"]
"""A radio layer holds packets until an outage is over; a link without one drops them."""


@dataclass
class Direction:
    """A queue without an end, then the link: packets leave in order, at the link's rate, and none overtakes another.

    Args:
        capacity: rates; the very object with which requests are planned.
        way_ms: the way that begins at a time, likewise: `Delay.up_ms` or `Delay.down_ms`.
        loss: share of packets that are lost before they enter the queue.
        held_ms: end of an outage that lasts from time 0.
        outage: whether packets of an outage are held until its end or dropped.
        rng: decides which packets are lost.

    Example:
        >>> from hwnas.collaborate.links.series import ConstantDelay, ConstantRate
        >>> way = Direction(ConstantRate(np.array(12.0)), ConstantDelay(np.array(20.0)).up_ms)
        >>> way.arrival_ms(0.0, 1500), way.arrival_ms(0.0, 1500)
        (11.0, 12.0)
    """

    capacity: Capacity
    way_ms: Way
    loss: float = 0.0
    held_ms: float = 0.0
    outage: Outage = "hold"
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lost: int = 0
    _free_ms: float = 0.0
    _last_ms: float = 0.0

    def arrival_ms(self, time_ms: float, size: int) -> float | None:
        """Return when a packet of so many bytes arrives that comes at this time; None if it is lost.

        Times of calls ascend.
        """
        if (self.loss and self.rng.random() < self.loss) or (self.outage == "drop" and time_ms < self.held_ms):
            self.lost += 1
            return None
        begins = max(time_ms, self._free_ms, self.held_ms)
        self._free_ms = float(self.capacity.finish_ms(np.float64(begins), np.float64(size)))  # type: ignore[arg-type]
        way = float(self.way_ms(np.float64(self._free_ms)))  # type: ignore[arg-type]
        self._last_ms = max(self._last_ms, self._free_ms + way)
        return self._last_ms
