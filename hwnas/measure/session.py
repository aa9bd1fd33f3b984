"""A sitting: files that are timed together, by several fresh processes one after the other. Board side, no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.measure.conditions.cores import chosen, kept_to
from hwnas.measure.conditions.rounds import PAIRED
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait, exclusive_device
from hwnas.measure.timing import FEWEST_ROUNDS, REFERENCE, THROTTLED, Measurement, Timing
from hwnas.measure.worker import REFERENCE as REFERENCE_PLACE
from hwnas.measure.worker import run_job
from hwnas.measure.worker_process import run_worker
from hwnas.runtimes import Runtime
from hwnas.words import counted

Progress = Callable[[int, int], None]
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
    progress: Progress | None = None,
    queue: LockWait = DEFAULT_WAIT,
) -> SessionResult:
    """Time all files together, `timing.rounds` rounds divided among `timing.processes` fresh processes.

    Every measurement tells the reference file's time in each round. A file at which a process crashes is left out of
    the next ones. `progress` is called with (rounds done, rounds planned). Nobody else measures on this machine
    meanwhile.

    Raises:
        HostAway: somebody else did for longer than `queue` allows.
    """
    chosen(runtime.setup.cores, runtime.setup.threads, timing.pin, Tree())  # told here, not by each process
    heard, done = _SessionCollector(files, reference), 0
    with exclusive_device(queue) as lock:
        for share in _shares(timing):
            if progress is not None:
                heard.on_round = partial(_further, progress, done, timing.rounds)
            _one_process(heard, runtime, share, lock)
            done += share.rounds
    measured = {index: merged(parts) for index, parts in heard.parts.items() if index not in heard.failed}
    return SessionResult(measured, {index: why for index, why in heard.failed.items() if index != REFERENCE_PLACE})


def measure_in_sessions(
    files: Sequence[Path],
    runtime: Runtime,
    timing: Timing,
    *,
    reference: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    queue: LockWait = DEFAULT_WAIT,
) -> Iterator[tuple[int, Measurement | str]]:
    """Time any number of files, sitting by sitting: yield the index in `files`, and its samples or why there are none.

    `progress` is called with (files done, files planned, what is done).
    """
    for places in split_sessions(files, timing):

        def further(now: int, planned: int, places: range = places) -> None:
            if progress is not None:
                progress(
                    places.start + len(places) * now // planned,
                    len(files),
                    f"timing {counted(len(places), 'file')} together",
                )

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
    for name in (REFERENCE, "round_mhz"):
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


def _further(progress: Progress, done: int, rounds: int, now: int, planned: int) -> None:
    progress(done + now, rounds)


class _SessionCollector:
    """Results that the processes of a sitting have reported."""

    def __init__(self, files: Sequence[Path], reference: Path | None) -> None:
        self._files, self._reference = files, reference
        self.parts: dict[int, list[Measurement]] = {}
        self.failed: dict[int, str] = {}
        self.loading: int | None = None
        self.finished = False
        self.on_round: Callable[[int, int], object] = lambda now, planned: None
        self._places: list[int] = []

    def begin(self) -> tuple[list[Path], Path | None]:
        """Begin a process, and return the files that it gets."""
        self._places = [index for index in range(len(self._files)) if index not in self.failed]
        self.loading, self.finished = None, False
        reference = None if REFERENCE_PLACE in self.failed else self._reference
        return [self._files[index] for index in self._places], reference

    def hear(self, line: Mapping[str, Any]) -> None:
        """Take in one line of a worker."""
        if "round" in line:
            self.on_round(*line["round"])
        elif "loading" in line:
            self.loading = None if line["loading"] is None else self._place(line["loading"])
        elif "failed" in line:
            self.failed[self._place(line["failed"])] = line["why"]
        elif "timed" in line:
            measurement = Measurement(tuple(map(float, line["rounds_ns"])), line["conditions"])
            self.parts.setdefault(self._place(line["timed"]), []).append(measurement)
        else:
            self.finished = True

    def crashed(self, why: str) -> None:
        """Note that the process ended early: the file that it was loading is to blame, or else all of them."""
        blamed = self._places if self.loading is None else [self.loading]
        self.failed.update(dict.fromkeys(blamed, why))

    def _place(self, number: int) -> int:
        return number if number == REFERENCE_PLACE else self._places[number]


def _one_process(heard: _SessionCollector, runtime: Runtime, timing: Timing, lock: int) -> None:
    """Run one share; again, without the file at hand, if the process crashes."""
    for _ in range(CRASHES):
        files, reference = heard.begin()
        if timing.processes == 0:
            setup = runtime.setup
            wanted = chosen(setup.cores, setup.threads, False, Tree())
            with kept_to(wanted, surely=bool(setup.cores)) as cpus:
                run_job(runtime, files, reference, timing, heard.hear, cpus)
            return
        crash = _in_a_worker(heard, runtime, timing, files, reference, lock)
        if not crash:
            return
        heard.crashed(crash)
    heard.loading = None
    heard.crashed(crash)


def _in_a_worker(
    heard: _SessionCollector, runtime: Runtime, timing: Timing, files: Sequence[Path], reference: Path | None, lock: int
) -> str:
    """Run a worker on a job, and return why it ended early; empty if it did not."""
    job = {
        "setup": runtime.setup.as_dict(),
        "timing": asdict(timing),
        "files": [str(file.absolute()) for file in files],
        "reference": reference and str(reference.absolute()),
    }
    why = run_worker(job, runtime.setup.threads, heard.hear, limit_s=timing.process_seconds, holding=[lock])
    return "" if heard.finished and not why else why or "the measuring process ended early"
