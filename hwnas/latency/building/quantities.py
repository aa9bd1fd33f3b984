"""Filling a table with quantities other than time: energy of operators and networks, memory of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from hwnas.errors import HwnasError, TableError
from hwnas.latency.building.table_builder import MeasureContext, MeasureJob, first_line, job_files, jobs_of
from hwnas.measure.energy.job import measure_energy
from hwnas.measure.energy.meter import Energy, EnergyProtocol
from hwnas.measure.events import Progress
from hwnas.measure.memory import Memory, measure_memory
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_lines import subject_of
from hwnas.network import Network
from hwnas.ops import Operator, Shape
from hwnas.words import listed

Take = Callable[[Sequence[Path], Progress], Iterator[tuple[int, Energy | Memory | str]]]


def measure_missing_energy(
    table: LatencyTable,
    operators: Iterable[tuple[Operator, Shape]],
    networks: Sequence[Network],
    protocol: EnergyProtocol,
    context: MeasureContext,
    *,
    pin: bool,
) -> None:
    """Measure the energies that the table lacks: of operators, networks and the overhead.

    Raises:
        SensorError: there is no sensor, or it cannot be read.
        TableError: some could not be measured; those are listed, all others are stored.
    """
    jobs = [job for job in _all_jobs(table, operators, networks) if subject_of(job.line).key not in table.energy]

    def take(files: Sequence[Path], further: Progress) -> Iterator[tuple[int, Energy | str]]:
        return measure_energy(files, context.runtime, protocol, pin=pin, progress=further, queue=context.queue)

    _fill(table, jobs, context, take, "the energy of")


def measure_missing_memory(table: LatencyTable, networks: Sequence[Network], context: MeasureContext) -> None:
    """Measure the peaks of memory of networks that the table lacks, each in a separate process.

    Raises:
        SensorError: the system does not report it.
        TableError: as `measure_missing_energy`.
    """
    jobs = [job for job in _all_jobs(table, [], networks) if job.whole]
    jobs = [job for job in jobs if subject_of(job.line).key not in table.memory]

    def take(files: Sequence[Path], further: Progress) -> Iterator[tuple[int, Memory | str]]:
        return measure_memory(files, context.runtime, progress=further, queue=context.queue)

    _fill(table, jobs, context, take, "the memory of")


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


def _fill(table: LatencyTable, jobs: list[MeasureJob], context: MeasureContext, take: Take, what: str) -> None:
    if not jobs:
        return
    failures: list[str] = []
    made: list[tuple[MeasureJob, Path]] = []
    runtime = context.runtime
    files = job_files(jobs, runtime.setup, context.exports, context.artifacts, context.progress)
    for job, file in zip(jobs, files, strict=True):
        if isinstance(file, HwnasError):
            failures.append(f"{job.target.name}: {first_line(file)}")
        else:
            made.append((job, file))
    further = partial(_further, context.progress, len(jobs))
    for index, outcome in take([file for _, file in made], further):
        job = made[index][0]
        if isinstance(outcome, Energy):
            table.append_energy(job.line, outcome)
        elif isinstance(outcome, Memory):
            table.append_memory(job.line, outcome)
        else:
            failures.append(f"{job.target.name}: {outcome}")
    if failures:
        raise TableError(
            f"{what} {len(failures)} of {len(jobs)} files could not be measured: {listed(failures)}",
            where=str(table.path),
            allowed="Each file has to be run, and the sensor has to carry its figure",
            do="Correct what is said; what was measured is stored, the same command continues",
        )


def _further(progress: Progress, jobs: int, done: int, planned: int, what: str) -> None:
    progress(jobs + done, 2 * jobs, what)
