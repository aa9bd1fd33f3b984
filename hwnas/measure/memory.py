"""The memory that a file takes in its runtime: a fresh process loads it, runs it, and reports its peak. Board side:
Python 3.9 syntax, no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, SensorError, reason
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait, exclusive_device
from hwnas.measure.events import Events, Outcomes, Progress, no_progress
from hwnas.measure.timing import Timing
from hwnas.measure.worker_process import run_worker
from hwnas.runtimes import Runtime
from hwnas.words import brief, counted

STATUS, RESET = "proc/self/status", "proc/self/clear_refs"
CALLS = 3
"""Number of times that a file is run: some runtimes allocate in the second call once more."""
NOT_TOLD = "the runtime's Python package does not tell it"


@brief
@dataclass(frozen=True)
class Memory:
    """Memory that a file takes at its peak beside the runtime that was there before, in MB of 1,000,000 bytes."""

    peak_mb: float
    conditions: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """`whole_mb`, the process's own peak; `baseline_mb`, the runtime alone; `arena_mb`, or why it is not reported."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak_mb) and self.peak_mb >= 0):
            raise ValueError("a peak is finite and not negative")


def measure_memory(
    files: Sequence[Path],
    runtime: Runtime,
    *,
    limit_s: float = 600.0,
    progress: Progress = no_progress,
    queue: LockWait = DEFAULT_WAIT,
) -> Iterator[tuple[int, Memory | str]]:
    """Yield the index in `files`, and the memory that it takes or why that is not known; each file in a separate
    process.

    Raises:
        SensorError: this system does not report it, or the set-up computes on a GPU.
        HostAway: somebody else measures on this machine for longer than `queue` allows.
    """
    if runtime.setup.accelerator != "cpu":
        raise _unknown(f"on `{runtime.setup.accelerator}` most of it is not the process's own")
    resident_mb(Tree())
    for index, file in enumerate(files):
        outcomes = Outcomes(lambda values: Memory(**values), lambda done: None)
        job = {
            "task": "memory",
            "setup": runtime.setup.as_dict(),
            "timing": asdict(Timing()),
            "files": [str(file.absolute())],
        }
        with exclusive_device(queue) as lock:  # who times there would be slowed
            why = run_worker(job, runtime.setup.threads, outcomes, limit_s=limit_s, holding=[lock])
        yield index, outcomes.results[0][1] if outcomes.results else why or "the measuring process ended early"
        progress(index + 1, len(files), f"measuring the memory of {counted(len(files), 'file')}")


def take_memory(runtime: Runtime, job: Mapping[str, Any], events: Events, cpus: Sequence[int]) -> None:
    """Load the one file and run it, in this process, which has to be fresh."""
    try:
        events.sample(0, asdict(peak_of(lambda: runtime.load(Path(job["files"][0])), Tree())))
    except Exception as error:  # told as the file's, whatever a runtime throws
        events.failed(0, error.met if isinstance(error, HwnasError) else reason(error))


def peak_of(load: Callable[[], Any], tree: Tree) -> Memory:
    """Measure what loading and running takes at its peak, in this process.

    The kernel's high-water mark is reset first. Where that is not allowed, what stood there before is the baseline.
    """
    reset = _reset(tree)
    baseline_mb = resident_mb(tree, "VmRSS" if reset else "VmHWM")
    model = load()
    for _ in range(CALLS):
        model.invoke()
    whole_mb = resident_mb(tree)
    arena = getattr(model, "arena_bytes", None)
    arena_facts = {"arena_unknown": NOT_TOLD} if arena is None else {"arena_mb": round(arena / 1e6, 3)}
    return Memory(
        round(max(whole_mb - baseline_mb, 0.0), 3),
        {"whole_mb": round(whole_mb, 3), "baseline_mb": round(baseline_mb, 3), "reset": reset, **arena_facts},
    )


def resident_mb(tree: Tree, name: str = "VmHWM") -> float:
    """Return the memory that this process has resident, or had at its peak.

    Raises:
        SensorError: the system does not report it.
    """
    match = re.search(rf"^{name}:\s*(\d+) kB", tree.text(STATUS), re.MULTILINE)
    if match is None:
        raise _unknown(f"/{STATUS} has no {name}")
    return int(match[1]) * 1024 / 1e6


def _reset(tree: Tree) -> bool:
    try:
        with open(tree.root / RESET, "r+", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _unknown(why: str) -> SensorError:
    return SensorError(
        f"the peak of resident memory cannot be told ({why})",
        where="memory",
        allowed="Linux tells VmHWM in /proc/self/status, for what computes on the processor",
        do="Leave out `memory` and the limit on `peak_mb`",
    )
