"""Timing networks on a host while a search waits: one at a time, tried again, and never twice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hwnas.errors import HostAway, TableError
from hwnas.measure.device_lock import try_lock
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.table import LatencyTable, check_key, open_table, read_table, read_table_of
from hwnas.measure.table_lines import CheckKey
from hwnas.measure.timing import Measurement
from hwnas.network import Network
from hwnas.runtimes.setup import Setup

Say = Callable[[str], None]


@dataclass(frozen=True)
class Timed:
    """A network's samples, the set-up that they were taken on, and the size of its file."""

    measurement: Measurement
    setup: Setup
    file_bytes: int | None = None


class LiveHost(Protocol):
    """A device that networks are timed on, one at a time."""

    @property
    def name(self) -> str:
        """Name of the device, for people."""

    def time(self, network: Network) -> Timed:
        """Make the network's file and time it there.

        Raises:
            HostAway: the device does not answer, or not in time; the network may well be timed later.
            ExportError: this network cannot be made or run.
        """


@dataclass(frozen=True)
class RetryBudget:
    """Number of tries of a host, and the pauses in between."""

    tries: int = 3
    pause_s: float = 10.0


@dataclass
class LiveTimes:
    """Latencies of networks on a host, kept in a table: what stands there is not timed again."""

    host: LiveHost
    path: Path
    """The table; begun with the first network, because only a host knows its set-up for sure."""
    patience: RetryBudget = RetryBudget()
    say: Say = lambda text: None
    sleep: Callable[[float], None] = time.sleep
    table: LatencyTable | None = field(init=False, default=None)

    _bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        """Take in what other processes that search the tier have timed: all of them relate to the first network."""
        size = self.path.stat().st_size if self.path.exists() else 0  # what comes later is taken in the next time
        if size not in (0, self._bytes):
            self.table = read_table_of(self.path, read_table(self.path).setup)
            self._bytes = size

    def latency_ms(self, network: Network) -> float:
        """Return the network's latency, timed now if it never was.

        Raises:
            HostAway: the host did not answer, however often it was tried.
            ExportError: the network cannot be made or run there.
            TableError: the host's set-up is another one than that of what was timed before.
        """
        key = check_key(network)
        if not self._knows(key):
            with self._turn():
                self._catch_up()
                if not self._knows(key):
                    self._store(network, self._timed(network))
        assert self.table is not None
        first = next(iter(self.table.checks.values()))  # whose state of the machine stands for the usual one
        return drift_corrected_ms([self.table.checks[key]], reference_ns([first]))[0]

    def _knows(self, key: CheckKey) -> bool:
        return self.table is not None and key in self.table.checks

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the tier while the block runs: one process at a time, so that none times what another is about to
        store."""

        def busy() -> None:
            if not announced:
                self.say(f"waiting for {self.host.name}: another process of this search times on it")
            announced.append(True)

        announced: list[bool] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "ab") as file:
            try_lock(file.fileno(), math.inf, busy)
            yield

    def _timed(self, network: Network) -> Timed:
        for number in range(1, self.patience.tries + 1):
            try:
                return self.host.time(network)
            except HostAway as error:
                if number == self.patience.tries:
                    raise
                self.say(f"{self.host.name}: {error.met}; try {number + 1} of {self.patience.tries} follows")
                self.sleep(self.patience.pause_s)
        raise AssertionError("the last try returns or raises")

    def _store(self, network: Network, timed: Timed) -> None:
        if self.table is None:
            self.table = open_table(self.path, timed.setup)
        elif unlike := self.table.setup.differences(timed.setup):
            raise TableError(
                f"the host's set-up has changed ({'; '.join(unlike)}; first what was timed before)",
                where=str(self.path),
                allowed="The networks of a tier are timed on one set-up",
                do="Restore it, or move that file away and search under a new name",
            )
        self.table.append_check(network, timed.measurement, timed.file_bytes)
