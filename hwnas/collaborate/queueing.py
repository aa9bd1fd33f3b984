"""Waiting for a busy cloud: many clients, several workers, service times of any spread (M/G/c)."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwnas.latency.posterior import Floats

MOST_CLIENTS = 1 << 30
SIMULATED = 20_000
"""Requests of a simulated queue; the first tenth, which find an idle cloud, are left out."""


@dataclass(frozen=True)
class Queue:
    """Requests that arrive at random (Poisson) at workers that serve one each.

    The mean wait is exact for one worker (Pollaczek and Khinchine) and for exponential service (Erlang's C); between
    them it is Allen and Cunneen's approximation. A wait is 0 for those who find a free worker, and exponential for the
    others.

    Args:
        rate_hz: requests a second, of all clients.
        service_ms: mean service time.
        variation: squared coefficient of variation of service times: 0 if they are all equal, 1 if exponential.
        workers: that serve at the same time.

    Example:
        >>> round(Queue(8, 100, 1.0).mean_wait_ms), round(Queue(8, 100, 0.0).mean_wait_ms)
        (400, 200)
    """

    rate_hz: float
    service_ms: float
    variation: float = 0.0
    workers: int = 1

    @property
    def load(self) -> float:
        """Share of the time that a worker is busy; from 1 on, the queue grows without end."""
        return self.rate_hz * self.service_ms / 1e3 / self.workers

    @property
    def waiting_share(self) -> float:
        """Share of the requests that find all workers busy (Erlang's C)."""
        if self.load >= 1:
            return 1.0
        offered, blocked = self.load * self.workers, 1.0
        for number in range(1, self.workers + 1):
            blocked = offered * blocked / (number + offered * blocked)
        return blocked / (1 - self.load * (1 - blocked))

    @property
    def mean_wait_ms(self) -> float:
        """Mean time from arrival to the start of service."""
        if self.load >= 1:
            return math.inf
        exponential = self.waiting_share * self.service_ms / (self.workers * (1 - self.load))
        return exponential * (1 + self.variation) / 2

    def wait_ms(self, uniform: Floats) -> Floats:
        """Return waits from uniform numbers."""
        if self.load >= 1:
            return np.full(np.shape(uniform), math.inf)
        if not self.rate_hz or not self.service_ms:
            return np.zeros(np.shape(uniform))
        mean = self.mean_wait_ms / self.waiting_share
        waits: Floats = mean * np.log(self.waiting_share / np.maximum(1 - uniform, 1e-300))
        return np.maximum(waits, 0.0)


@dataclass(frozen=True)
class BatchQueue:
    """Requests that arrive at random (Poisson) at workers that serve batches, which take as long however full they are.

    A free worker takes up to `batch` requests, as soon as so many wait or the first has waited `fill_ms`: as
    `hwnas serve` does. Waits are those of a simulation from one seed.

    Args:
        rate_hz: requests a second, of all clients.
        service_ms: mean time of a batch.
        variation: squared coefficient of variation of the times of batches.
        workers: that serve a batch each.
        batch: most requests of a batch.
        fill_ms: longest wait of a request for others while a worker is free.

    Example:
        >>> alone = BatchQueue(0.001, 10.0, batch=8, fill_ms=2.0)
        >>> round(float(alone.wait_ms(np.array([0.5]))[0]), 3)
        2.0
    """

    rate_hz: float
    service_ms: float
    variation: float = 0.0
    workers: int = 1
    batch: int = 1
    fill_ms: float = 0.0

    @property
    def load(self) -> float:
        """Share of what full batches could serve; from 1 on, the queue grows without end."""
        return self.rate_hz * self.service_ms / 1e3 / self.workers / self.batch

    def wait_ms(self, uniform: Floats) -> Floats:
        """Return waits from uniform numbers."""
        if self.load >= 1:
            return np.full(np.shape(uniform), math.inf)
        if not self.rate_hz or not self.service_ms:
            return np.zeros(np.shape(uniform))
        waits: Floats = np.interp(uniform, np.linspace(0, 1, len(self._waits)), self._waits)
        return waits

    @cached_property
    def _waits(self) -> Floats:
        """Waits of simulated requests, ascending."""
        rng = np.random.default_rng(0)
        arrivals = np.cumsum(rng.exponential(1e3 / self.rate_hz, SIMULATED)).tolist()
        shape = 1 / max(self.variation, 1e-9)
        services = rng.gamma(shape, self.service_ms / shape, SIMULATED).tolist()
        free, starts, begun = [0.0] * self.workers, np.empty(SIMULATED), 0
        while begun < SIMULATED:
            full = arrivals[begun + self.batch - 1] if begun + self.batch <= SIMULATED else math.inf
            start = max(heapq.heappop(free), min(full, arrivals[begun] + self.fill_ms))
            end = min(bisect_right(arrivals, start, begun + 1), begun + self.batch)
            starts[begun:end] = start
            heapq.heappush(free, start + services[begun])
            begun = end
        waits: Floats = np.sort((starts - np.asarray(arrivals))[SIMULATED // 10 :])
        return waits


def most_clients(holds: Callable[[int], bool]) -> int:
    """Return the largest number of clients for which `holds` is true, which it is up to that number; 0 if for none."""
    if not holds(1):
        return 0
    low, high = 1, 2
    while high < MOST_CLIENTS and holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
