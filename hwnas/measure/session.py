"""A sitting: files that are timed together, by several fresh processes one after the other. Board side, no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.measure.conditions.cores import chosen, pinned_to
from hwnas.measure.conditions.rounds import PAIRED
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait, exclusive_device
from hwnas.measure.events import Progress, no_progress
from hwnas.measure.timing import FEWEST_ROUNDS, REFERENCE_CONDITION, THROTTLED, Measurement, Timing
from hwnas.measure.worker import REFERENCE_INDEX as REFERENCE_PLACE
from hwnas.measure.worker import run_job
from hwnas.measure.worker_process import run_worker
from hwnas.runtimes import Runtime
from hwnas.words import counted

CRASHES = 3
"""Number of crashed processes after which a sitting gives up."""


@dataclass(frozen=True)
class SessionResult:
    """Result of a sitting, by index in the list of files: measurements, and why there is none."""

    measured: dict[int, Measurement]
    failed: dict[int, str]


def time_files(
    files: Sequence[Path],
    runtime: Runtime,
    timing: Timing,
    *,
    reference: Path | None = None,
    progress: Progress = no_progress,
    queue: LockWait = DEFAULT_WAIT,
) -> SessionResult:
    """Time all files together, `timing.rounds` rounds divided among `timing.processes` fresh processes.

    Every measurement tells the reference file's time in each round. A file at which a process crashes is left out of
    the next ones. Nobody else measures on this machine meanwhile.

    Raises:
        HostAway: somebody else did for longer than `queue` allows.
    """
    chosen(runtime.setup.cores, runtime.setup.threads, timing.pin, Tree())  # told here, not by each process
    events, done = _SessionCollector(files, reference), 0
    what = f"timing {counted(len(files), 'file')} together"
    with exclusive_device(queue) as lock:
        for share in _shares(timing):
            events.on_round = partial(_further, progress, done, timing.rounds, what)
            _one_process(events, runtime, share, lock)
            done += share.rounds
    measured = {index: merged(parts) for index, parts in events.parts.items() if index not in events.failures}
    return SessionResult(measured, {index: why for index, why in events.failures.items() if index != REFERENCE_PLACE})


def measure_in_sessions(
    files: Sequence[Path],
    runtime: Runtime,
    timing: Timing,
    *,
    reference: Path | None = None,
    progress: Progress = no_progress,
    queue: LockWait = DEFAULT_WAIT,
) -> Iterator[tuple[int, Measurement | str]]:
    """Time any number of files, sitting by sitting: yield the index in `files`, and samples or why there are none."""
    for places in split_sessions(files, timing):

        def further(done: int, planned: int, what: str, places: range = places) -> None:
            progress(places.start + len(places) * done // planned, len(files), what)

        result = time_files(
            files[places.start : places.stop], runtime, timing, reference=reference, progress=further, queue=queue
        )
        for number, index in enumerate(places):
            yield index, result.measured.get(number) or result.failed.get(number, "it gave no samples")


def merged(parts: Sequence[Measurement]) -> Measurement:
    """Return the samples of several processes as one measurement: conditions from the first's begin to the last's
    end."""
    conditions: dict[str, Any] = dict(parts[-1].conditions)
    for name in (*PAIRED, "gpu"):
        if name in conditions and name in parts[0].conditions:
            conditions[name] = [parts[0].conditions[name][0], conditions[name][1]]
    for name in ("steal_ticks", "retaken", "disturbed", THROTTLED, "throttled_retaken"):
        if name in conditions:
            conditions[name] = sum(part.conditions.get(name, 0) for part in parts)
    for name in (REFERENCE_CONDITION, "round_mhz"):
        if all(name in part.conditions for part in parts):
            conditions[name] = [value for part in parts for value in part.conditions[name]]
    reasons: Counter[str] = sum((Counter(part.conditions.get("throttled", {})) for part in parts), Counter())
    if reasons:
        conditions["throttled"] = dict(sorted(reasons.items()))
    conditions["processes"] = [len(part.rounds_ns) for part in parts]
    return Measurement(tuple(ns for part in parts for ns in part.rounds_ns), conditions)


def split_sessions(files: Sequence[Path], timing: Timing) -> Iterator[range]:
    """Yield ranges of consecutive indices in `files` that can be timed together: at most
    `timing.files_per_session`, and a quarter of the memory."""
    budget, begin, total_bytes = _memory_bytes() / 4, 0, 0.0
    for index, file in enumerate(files):
        size = 3.0 * file.stat().st_size  # a runtime keeps packed weights and buffers beside the file
        if index > begin and (index - begin >= timing.files_per_session or total_bytes + size > budget):
            yield range(begin, index)
            begin, total_bytes = index, 0.0
        total_bytes += size
    if len(files) > begin:
        yield range(begin, len(files))


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return 4e9


def _shares(timing: Timing) -> list[Timing]:
    """Return the protocol of each process: its rounds, its seed, its part of the time."""
    count = max(1, min(timing.processes, timing.rounds // FEWEST_ROUNDS))
    seconds = None if timing.max_seconds is None else timing.max_seconds / count
    rounds = [timing.rounds // count + (number < timing.rounds % count) for number in range(count)]
    return [
        replace(timing, rounds=share, seed=timing.seed + number, max_seconds=seconds)
        for number, share in enumerate(rounds)
    ]


def _further(progress: Progress, before: int, rounds: int, what: str, done: int) -> None:
    progress(before + done, rounds, what)


class _SessionCollector:
    """Events of the processes of a sitting, as results by index in the list of files."""

    def __init__(self, files: Sequence[Path], reference: Path | None) -> None:
        self._files, self._reference = files, reference
        self.parts: dict[int, list[Measurement]] = {}
        self.failures: dict[int, str] = {}
        self.loading: int | None = None
        self.finished = False
        self.on_round: Callable[[int], object] = lambda done: None
        self._places: list[int] = []

    def begin(self) -> tuple[list[Path], Path | None]:
        """Begin a process, and return the files that it gets."""
        self._places = [index for index in range(len(self._files)) if index not in self.failures]
        self.loading, self.finished = None, False
        reference = None if REFERENCE_PLACE in self.failures else self._reference
        return [self._files[index] for index in self._places], reference

    def started(self, file: int | None) -> None:
        self.loading = None if file is None else self._index(file)

    def round(self, done: int, planned: int) -> None:
        self.on_round(done)

    def sample(self, file: int, values: Mapping[str, Any]) -> None:
        measurement = Measurement(tuple(map(float, values["rounds_ns"])), values["conditions"])
        self.parts.setdefault(self._index(file), []).append(measurement)

    def failed(self, file: int, why: str) -> None:
        self.failures[self._index(file)] = why

    def done(self) -> None:
        self.finished = True

    def crashed(self, why: str) -> None:
        """Note that the process ended early: the file that it was loading is to blame, or else all of them."""
        blamed = self._places if self.loading is None else [self.loading]
        self.failures.update(dict.fromkeys(blamed, why))

    def _index(self, number: int) -> int:
        return number if number == REFERENCE_PLACE else self._places[number]


def _one_process(events: _SessionCollector, runtime: Runtime, timing: Timing, lock: int) -> None:
    """Run one share; again, without the file at hand, if the process crashes."""
    for _ in range(CRASHES):
        files, reference = events.begin()
        if timing.processes == 0:
            setup = runtime.setup
            wanted = chosen(setup.cores, setup.threads, False, Tree())
            with pinned_to(wanted, surely=bool(setup.cores)) as cpus:
                run_job(runtime, files, reference, timing, events, cpus)
            return
        crash = _in_a_worker(events, runtime, timing, files, reference, lock)
        if not crash:
            return
        events.crashed(crash)
    events.loading = None
    events.crashed(crash)


def _in_a_worker(
    events: _SessionCollector,
    runtime: Runtime,
    timing: Timing,
    files: Sequence[Path],
    reference: Path | None,
    lock: int,
) -> str:
    """Run a worker on a job, and return why it ended early; empty if it did not."""
    job = {
        "setup": runtime.setup.as_dict(),
        "timing": asdict(timing),
        "files": [str(file.absolute()) for file in files],
        "reference": reference and str(reference.absolute()),
    }
    why = run_worker(job, runtime.setup.threads, events, limit_s=timing.process_seconds, holding=[lock])
    return "" if events.finished and not why else why or "the measuring process ended early"
