"""Counts of a server, and their text for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
HANDOVER_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)
BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Observations by their size, as Prometheus counts them.

    Args:
        bounds: upper ends of the buckets, ascending.

    Example:
        >>> times = Histogram((0.1, 1.0))
        >>> times.observe(0.5)
        >>> list(times.lines("t"))[:2]
        ['t_bucket{le="0.1"} 0', 't_bucket{le="1.0"} 1']
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of the buckets, which count all values up to their bound, of the sum and of the number."""
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {total}"


@dataclass
class Metrics:
    """Counts since the server began."""

    statuses: Counter[int] = field(default_factory=Counter)
    shed: int = 0
    latency: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    waited: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    service: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    handover: Histogram = field(default_factory=lambda: Histogram(HANDOVER_SECONDS))
    """From the end of a batch to the begin of the next one, where requests waited."""
    batches: Histogram = field(default_factory=lambda: Histogram(BATCH_SIZES))

    def text(self, waiting: int) -> str:
        """Return all counts in Prometheus' text format; `waiting` requests are in the queue."""
        lines = ["# TYPE hwnas_requests_total counter"]
        lines += [f'hwnas_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        lines += ["# TYPE hwnas_shed_total counter", f"hwnas_shed_total {self.shed}"]
        lines += ["# TYPE hwnas_waiting gauge", f"hwnas_waiting {waiting}"]
        histograms = {
            "hwnas_request_seconds": self.latency,
            "hwnas_queue_seconds": self.waited,
            "hwnas_service_seconds": self.service,
            "hwnas_handover_seconds": self.handover,
            "hwnas_batch_requests": self.batches,
        }
        for name, histogram in histograms.items():
            lines += [f"# TYPE {name} histogram", *histogram.lines(name)]
        return "\n".join(lines) + "\n"
