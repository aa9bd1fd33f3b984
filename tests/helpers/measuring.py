"""What stands in for time and for other processes where something is measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.measure.timing import Timing
from hwnas.network import Network
from hwnas.ops.conv import Conv

QUICK = Timing(warm_up_ms=0, min_sample_ms=0.05, rounds=3, processes=1)
WITNESS = """
import subprocess, sys, time
log, pause = sys.argv[1], float(sys.argv[2])
begin = time.monotonic()
time.sleep(pause)
code = subprocess.call(sys.argv[3:])
open(log, "a").write(f"{begin} {time.monotonic()}\\n")
sys.exit(code)
"""
"""Stands before a measuring process and notes when it began and ended; all of one machine share a monotonic clock."""


def witness(log: Path, pause_s: float = 0.0) -> str:
    script = log.with_suffix(".py")
    script.write_text(WITNESS)
    return shlex.join([sys.executable, str(script), str(log), str(pause_s)])


def spans(log: Path) -> list[tuple[float, float]]:
    """When each measuring process ran."""
    return sorted((float(begin), float(end)) for begin, end in map(str.split, log.read_text().splitlines()))


@dataclass
class Clock:
    """Stands still but for `spend`; notes who spent."""

    now_ns: int = 0
    calls: list[str] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now_ns

    def worker(self, name: str, cost_ns: Callable[[int], int]) -> Callable[[], None]:
        """A callable that takes `cost_ns(now)`."""

        def work() -> None:
            self.calls.append(name)
            self.now_ns += cost_ns(self.now_ns)

        return work


def network(width: int = 4) -> Network:
    return Network((Conv(1, width, kernel=3),), ("stem",), (1, 8, 8))
