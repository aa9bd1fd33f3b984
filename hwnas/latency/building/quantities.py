"""Filling a table with quantities other than time: energy of operators and networks, memory of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from hwnas.errors import HwnasError, TableError
from hwnas.latency.building.model_files import Progress
from hwnas.latency.building.table_builder import SHOWN, Exports, MeasureJob, first_line, job_files, jobs_of
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait
from hwnas.measure.energy.job import measure_energy
from hwnas.measure.energy.meter import Energy, EnergyProtocol
from hwnas.measure.memory import Memory, measure_memory
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_lines import subject_of
from hwnas.network import Network
from hwnas.ops import Operator, Shape
from hwnas.runtimes import Runtime
from hwnas.words import counted

Take = Callable[[Sequence[Path], Callable[[int, int], None]], Iterator[tuple[int, Energy | Memory | str]]]


def measure_missing_energy(
    table: LatencyTable,
    operators: Iterable[tuple[Operator, Shape]],
    networks: Sequence[Network],
    runtime: Runtime,
    exports: Exports,
    protocol: EnergyProtocol,
    *,
    pin: bool,
    artifacts: Path,
    progress: Progress | None = None,
    queue: LockWait = DEFAULT_WAIT,
) -> None:
    """Measure the energies that the table lacks: of operators, networks and the overhead.

    Raises:
        SensorError: there is no sensor, or it cannot be read.
        TableError: some could not be measured; those are listed, all others are stored.
    """
    jobs = [job for job in _all_jobs(table, operators, networks) if subject_of(job.line).key not in table.energy]

    def take(files: Sequence[Path], further: Callable[[int, int], None]) -> Iterator[tuple[int, Energy | str]]:
        return measure_energy(files, runtime, protocol, pin=pin, progress=further, queue=queue)

    _fill(table, jobs, runtime, exports, artifacts, progress, take, "the energy of")


def measure_missing_memory(
    table: LatencyTable,
    networks: Sequence[Network],
    runtime: Runtime,
    exports: Exports,
    *,
    artifacts: Path,
    progress: Progress | None = None,
    queue: LockWait = DEFAULT_WAIT,
) -> None:
    """Measure the peaks of memory of networks that the table lacks, each in a separate process.

    Raises:
        SensorError: the system does not report it.
        TableError: as `measure_missing_energy`.
    """
    jobs = [job for job in _all_jobs(table, [], networks) if job.whole]
    jobs = [job for job in jobs if subject_of(job.line).key not in table.memory]

    def take(files: Sequence[Path], further: Callable[[int, int], None]) -> Iterator[tuple[int, Memory | str]]:
        return measure_memory(files, runtime, progress=further, queue=queue)

    _fill(table, jobs, runtime, exports, artifacts, progress, take, "the memory of")


def missing_jobs(
    table: LatencyTable,
    operators: Iterable[tuple[Operator, Shape]],
    networks: Sequence[Network],
    *,
    energy: bool,
    memory: bool,
) -> list[MeasureJob]:
    """Return jobs for what the table lacks the time of or, if requested, the energy or (of networks) the memory."""
    jobs = []
    for job in _all_jobs(table, operators, networks):
        key = subject_of(job.line).key
        lacks = not table.holds(job.line) or (energy and key not in table.energy)
        if lacks or (memory and job.whole and key not in table.memory):
            jobs.append(job)
    return jobs


def _all_jobs(
    table: LatencyTable, operators: Iterable[tuple[Operator, Shape]], networks: Sequence[Network]
) -> list[MeasureJob]:
    return jobs_of(LatencyTable(table.path, table.setup), operators, networks)


def _fill(
    table: LatencyTable,
    jobs: list[MeasureJob],
    runtime: Runtime,
    exports: Exports,
    artifacts: Path,
    progress: Progress | None,
    take: Take,
    what: str,
) -> None:
    if not jobs:
        return
    tell = progress or (lambda done, planned, what: None)
    failures: list[str] = []
    made: list[tuple[MeasureJob, Path]] = []
    for job, file in zip(jobs, job_files(jobs, runtime.setup, exports, artifacts, tell), strict=True):
        if isinstance(file, HwnasError):
            failures.append(f"{job.target.name}: {first_line(file)}")
        else:
            made.append((job, file))
    further = partial(_further, tell, len(jobs), f"measuring {what} {counted(len(made), 'file')}")
    for index, outcome in take([file for _, file in made], further):
        job = made[index][0]
        if isinstance(outcome, Energy):
            table.append_energy(job.line, outcome)
        elif isinstance(outcome, Memory):
            table.append_memory(job.line, outcome)
        else:
            failures.append(f"{job.target.name}: {outcome}")
    if failures:
        listed = "; ".join(failures[:SHOWN]) + (f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else "")
        raise TableError(
            f"{what} {len(failures)} of {len(jobs)} files could not be measured: {listed}", where=str(table.path),
            allowed="Each file has to be run, and the sensor has to carry its figure",
            do="Correct what is said; what was measured is stored, the same command continues",
        )  # fmt: skip


def _further(tell: Progress, jobs: int, what: str, done: int, planned: int) -> None:
    tell(jobs + done, 2 * jobs, what)
