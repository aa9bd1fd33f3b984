"""Detection of others that use the processor while a sample is taken. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Iterable
from typing import Protocol

WAITED = 0.02
"""A sample that stood in the queue for a processor for more than this share of its time is disturbed."""


class PreemptionMonitor(Protocol):
    """Looks at the system around one sample."""

    def begin(self) -> None:
        """Prepare for a sample; called right before it."""

    def was_preempted(self, elapsed_ns: float) -> bool:
        """Return whether the processor was taken away during the sample; called right after it."""


class NoPreemption:
    """A monitor that sees nothing: for clocks that a test turns, and for accelerators that no other process uses."""

    def begin(self) -> None:
        """Do nothing."""

    def was_preempted(self, elapsed_ns: float) -> bool:
        """Return False."""
        return False


class SystemPreemptionMonitor:
    """Reads what Linux counts: involuntary context switches of this process, its time in the queue for a processor, and
    the time that a host gave to others. Where the system does not report them, a sample counts as undisturbed.

    About 20 microseconds a sample, outside of it.
    """

    def __init__(self, cpus: Iterable[int] | None = None, *, proc: str = "/proc") -> None:
        """Count the stolen time of the processors `cpus`, those of this process if left out."""
        if cpus is None:
            cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._names = {b"cpu%d" % cpu for cpu in cpus}
        self._readers: list[Callable[[], float]] = []
        with contextlib.suppress(ImportError):
            import resource

            self._readers.append(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)
        self._readers.append(_reader(f"{proc}/stat", 1 << 16, self._stolen))
        self._queued = _reader(f"{proc}/self/schedstat", 128, lambda text: float(text.split()[1]))
        self._before: list[float] = []

    def begin(self) -> None:
        """Note the counters."""
        self._before = self._counters()

    def was_preempted(self, elapsed_ns: float) -> bool:
        """Return whether a counter moved since `begin`, or more than `WAITED` of the sample was spent in the queue."""
        *counts, queued = self._counters()
        *earlier, queued_before = self._before
        moved = any(map(operator.gt, counts, earlier))
        return moved or queued - queued_before > WAITED * elapsed_ns

    def _counters(self) -> list[float]:
        return [read() for read in self._readers] + [self._queued()]

    def _stolen(self, text: bytes) -> float:
        fields = (line.split() for line in text.split(b"\n") if line.startswith(b"cpu"))
        return sum(float(parts[8]) for parts in fields if parts[0] in self._names and len(parts) > 8)


def _reader(path: str, size: int, parse: Callable[[bytes], float]) -> Callable[[], float]:
    """Return a function that reads a number from a file of the system again and again; 0 where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        parse(os.pread(file, size, 0))
    except (OSError, ValueError, IndexError):
        return lambda: 0.0
    return lambda: parse(os.pread(file, size, 0))
