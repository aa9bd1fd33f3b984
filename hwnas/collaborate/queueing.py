"""Waiting for a busy cloud: many clients, several workers, service times of any spread (M/G/c)."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.posterior import Floats

MOST_CLIENTS = 1 << 30
SIMULATED = 20_000
"""Requests of a simulated queue; the first tenth, which find an idle cloud, are left out."""
LOOP_MS = 0.25
"""Time of `hwnas serve` itself for a request, in its one event loop: TLS, HTTP, JSON and 4 KB of numbers; measured on
an AMD EPYC, 0.21 to 0.28 ms."""
INLINE_MS = 0.3
"""Service time below which handing a request to a thread takes longer than the request: the event loop serves it."""
GRID = 1 << 14
"""Times at which the distribution of waits is computed."""
LONGEST_WAIT, LONGEST_SERVICE = 24.0, 8.0
"""End of the grid, in mean waits of those who wait, and in longest services."""
GAMMA_SAMPLES = 100_000


@dataclass(frozen=True)
class Queue:
    """Requests that arrive at random (Poisson) at workers that serve one each.

    Of one worker, the distribution of waits is exact (Pollaczek and Khinchine), for service times of a gamma
    distribution or of samples. Of several, the mean is exact for exponential service (Erlang's C) and else Allen and
    Cunneen's approximation; a wait is 0 for those who find a free worker, and exponential for the others. A server's
    own event loop is one more queue on the way, whose waits are taken as independent.

    Args:
        rate_hz: requests a second, of all clients.
        service_ms: mean service time.
        variation: squared coefficient of variation of service times: 0 if they are all equal, 1 if exponential.
        workers: that serve at the same time.
        loop_ms: time of the server itself for a request, which one thread takes for all workers; 0 if it is not
            counted.
        services: service times that were measured, whose distribution is taken as it is.

    Example:
        >>> round(Queue(8, 100, 1.0).mean_wait_ms), round(Queue(8, 100, 0.0).mean_wait_ms)
        (400, 200)
    """

    rate_hz: float
    service_ms: float
    variation: float = 0.0
    workers: int = 1
    loop_ms: float = 0.0
    services: Floats | None = field(default=None, compare=False, repr=False)

    @classmethod
    def measured(cls, rate_hz: float, services: Floats, workers: int = 1, loop_ms: float = 0.0) -> Queue:
        """Return the queue of service times that were measured."""
        mean = float(services.mean())
        return cls(rate_hz, mean, float(services.var()) / mean**2, workers, loop_ms, services)

    @property
    def load(self) -> float:
        """Share of the time that a worker is busy, or the event loop if that is more; from 1 on, the queue grows
        without end."""
        return max(part.rate_hz * part.service_ms / 1e3 / part.workers for part in self._parts)

    @property
    def waiting_share(self) -> float:
        """Share of the requests that find all workers busy (Erlang's C)."""
        if self.load >= 1:
            return 1.0
        offered, blocked = self.rate_hz * self.service_ms / 1e3, 1.0
        for number in range(1, self.workers + 1):
            blocked = offered * blocked / (number + offered * blocked)
        return blocked / (1 - offered / self.workers * (1 - blocked))

    @property
    def mean_wait_ms(self) -> float:
        """Mean time from arrival to the start of service, at the event loop and at the workers."""
        if self.load >= 1:
            return math.inf
        return sum(part.waiting_share * part._wait_of_those_who_wait_ms for part in self._parts)

    def wait_ms(self, uniform: Floats) -> Floats:
        """Return waits from uniform numbers."""
        if self.load >= 1:
            return np.full(np.shape(uniform), math.inf)
        if not self.mean_wait_ms:
            return np.zeros(np.shape(uniform))
        times, shares = self._distribution
        waits: Floats = np.interp(uniform, shares, times)
        return waits

    @cached_property
    def _parts(self) -> tuple[Queue, ...]:
        """Queues on a request's way: the workers', and the event loop's, or that of both where it serves too."""
        if not self.loop_ms:
            return (self,)
        if self.service_ms >= INLINE_MS:
            return replace(self, loop_ms=0.0), Queue(self.rate_hz, self.loop_ms)
        both = self.service_ms + self.loop_ms
        services = None if self.services is None else self.services + self.loop_ms
        return (Queue(self.rate_hz, both, self.variation * (self.service_ms / both) ** 2, services=services),)

    @property
    def _wait_of_those_who_wait_ms(self) -> float:
        left = self.workers * (1 - self.rate_hz * self.service_ms / 1e3 / self.workers)
        return self.service_ms / left * (1 + self.variation) / 2

    @cached_property
    def _distribution(self) -> tuple[Floats, Floats]:
        """Times, and the shares of requests that wait no longer."""
        waits = sum(part._wait_of_those_who_wait_ms for part in self._parts)
        longest = max(float(part._services.max()) for part in self._parts)
        step = (LONGEST_WAIT * waits + LONGEST_SERVICE * longest) / GRID
        transform = np.prod([part._transform(step) for part in self._parts], axis=0)
        shares: Floats = np.cumsum(np.maximum(np.fft.irfft(transform, GRID), 0.0))
        times: Floats = np.arange(GRID, dtype=np.float64) * step
        return times, shares / shares.max()

    @cached_property
    def _services(self) -> Floats:
        """Samples of service times, ascending."""
        if self.services is not None:
            return np.sort(self.services)
        return self.service_ms * _unit_gamma(self.variation)

    def _transform(self, step: float) -> NDArray[np.complex128]:
        """Return the Fourier transform of the waits for the workers, on a grid."""
        ends, share = np.arange(GRID + 1) * step, self.waiting_share
        if self.workers > 1:
            exponential = _on_grid(-np.expm1(-ends / self._wait_of_those_who_wait_ms))
            return 1 - share + share * exponential
        # of the service that an arrival finds, what is left lasts until t with the probability E[min(S, t)] / E[S]
        ordered = self._services
        below = np.searchsorted(ordered, ends, side="right")
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        left = _on_grid((sums[below] + ends * (len(ordered) - below)) / sums[-1])
        waits: NDArray[np.complex128] = (1 - share) / (1 - share * left)
        return waits


@lru_cache(16)
def _unit_gamma(variation: float) -> Floats:
    """Return ascending samples of a gamma distribution of mean 1."""
    if variation <= 0:
        return np.ones(1)
    samples = np.sort(np.random.default_rng(0).gamma(1 / variation, variation, GAMMA_SAMPLES))
    unit: Floats = samples / samples.mean()
    return unit


def _on_grid(below: Floats) -> NDArray[np.complex128]:
    """Return the Fourier transform of a distribution, of which a share lies below each edge of a grid's cells; that of
    a cell is split between its edges, so that means stay."""
    cells = np.diff(below)
    cells[-1] += 1 - below[-1]
    split = cells / 2
    split[1:] += cells[:-1] / 2
    split[-1] += cells[-1] / 2
    transform: NDArray[np.complex128] = np.fft.rfft(split)
    return transform


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
        loop_ms: time of the server itself for a request: half before its batch, and half after it.
        services: times of batches that were measured, in place of a gamma distribution.
        simulated: number of requests.

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
    loop_ms: float = 0.0
    services: Floats | None = field(default=None, compare=False, repr=False)
    simulated: int = SIMULATED

    @property
    def load(self) -> float:
        """Share of what full batches could serve, or that of the event loop if that is more; from 1 on, the queue grows
        without end."""
        return self.rate_hz / 1e3 * max(self.service_ms / self.workers / self.batch, self.loop_ms)

    def wait_ms(self, uniform: Floats) -> Floats:
        """Return waits from uniform numbers."""
        if self.load >= 1:
            return np.full(np.shape(uniform), math.inf)
        if not self.rate_hz or not self.service_ms:
            return np.zeros(np.shape(uniform))
        waits: Floats = np.interp(uniform, np.linspace(0, 1, len(self._waits)), self._waits)
        return waits

    def waits_of(self, seed: int, count: int) -> Floats:
        """Return the waits of simulated requests in the order of their arrival."""
        rng = np.random.default_rng(seed)
        came = np.cumsum(rng.exponential(1e3 / self.rate_hz, count))
        numbers = self.loop_ms * np.arange(count)
        read = numbers + np.maximum.accumulate(came - numbers)
        arrivals = read.tolist()
        if self.services is None:
            shape = 1 / max(self.variation, 1e-9)
            services = rng.gamma(shape, self.service_ms / shape, count).tolist()
        else:
            services = rng.choice(self.services, count).tolist()
        free, starts, begun = [0.0] * self.workers, np.empty(count), 0
        while begun < count:
            full = arrivals[begun + self.batch - 1] if begun + self.batch <= count else math.inf
            start = max(heapq.heappop(free), min(full, arrivals[begun] + self.fill_ms))
            end = min(bisect_right(arrivals, start, begun + 1), begun + self.batch)
            starts[begun:end] = start + self.loop_ms / 2 * np.arange(end - begun)
            heapq.heappush(free, start + services[begun])
            begun = end
        waits: Floats = starts - came
        return waits

    @cached_property
    def _waits(self) -> Floats:
        """Waits of simulated requests, ascending."""
        waits: Floats = np.sort(self.waits_of(0, self.simulated)[self.simulated // 10 :])
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
