"""Filling a latency table: export every operator, time the files, store the samples."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import ExportError, HwnasError, TableError, reason
from hwnas.export import format_of
from hwnas.latency.building.model_files import Exporter, ModelFile, make_files
from hwnas.latency.validation_design import rough_cost_ms
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait
from hwnas.measure.events import Progress, no_progress
from hwnas.measure.origin import origin_here
from hwnas.measure.session import measure_in_sessions
from hwnas.measure.table import (
    OVERHEAD_LINE,
    LatencyTable,
    check_key,
    check_line,
    open_table,
    row_key,
    row_line,
)
from hwnas.measure.table_lines import input_text
from hwnas.measure.timing import NOISY_SHARE, Measurement, Timing
from hwnas.network import Network, build
from hwnas.ops import Operator, Shape
from hwnas.ops.plugins import installed_code
from hwnas.runtimes import Runtime, Setup
from hwnas.user_code import source_of
from hwnas.words import counted, listed

if TYPE_CHECKING:
    from torch import nn

OVERHEAD_SHAPE: Shape = (8, 1, 1)
START_S, LOAD_S = 1.0, 0.02
"""Seconds, roughly, that a measuring process takes to start, and to load an operator's file."""


@dataclass(frozen=True)
class MeasureJob:
    """File to be timed, and the subject of its samples."""

    target: ModelFile
    whole: bool
    """True for a network as it ships, False for an operator as it stands within one."""
    line: Mapping[str, Any]
    """The subject as it stands in a table."""


Exports = tuple[Exporter, Exporter]
"""Exporter of an operator as it stands within a network, and exporter of whole networks as they ship."""


@dataclass(frozen=True)
class MeasureContext:
    """A machine's way of measuring: the runtime, its exporters, and the folder that keeps model files for reuse."""

    runtime: Runtime
    exports: Exports
    artifacts: Path
    progress: Progress = no_progress
    """Called with (work done, work planned, what comes next)."""
    queue: LockWait = DEFAULT_WAIT
    """Time to wait while somebody else measures on this machine."""


def plan_table(operators: Iterable[tuple[Operator, Shape]], table: LatencyTable) -> list[tuple[Operator, Shape]]:
    """Return the operators that the table has no row for, each once, in their order."""
    missing = {row_key(operator, shape): (operator, shape) for operator, shape in operators}
    return [link for key, link in missing.items() if key not in table.rows]


def plan_checks(networks: Iterable[Network], table: LatencyTable) -> list[Network]:
    """Return the networks that the table has no check for, each once, in their order."""
    missing = {check_key(network): network for network in networks}
    return [network for key, network in missing.items() if key not in table.checks]


def build_table(
    operators: Iterable[tuple[Operator, Shape]],
    networks: Sequence[Network],
    timing: Timing,
    path: Path,
    context: MeasureContext,
) -> LatencyTable:
    """Return the table at `path` with a row for every operator, a check for every network and the per-call overhead.

    What it already holds is not measured again, so a run that was killed continues. Rows and checks are timed together,
    and with them a reference operator, by which sittings are compared.

    Raises:
        HostAway: somebody else measures on this machine for longer than `context.queue` allows.
        TableError: the table is damaged or of another set-up, or files could not be made or run; those are listed,
            all others are stored.
    """
    table = open_table(path, context.runtime.setup, origin_here())
    jobs = jobs_of(table, operators, networks)
    failures: list[str] = []
    for job, outcome in _timed(jobs, timing, context):
        if isinstance(outcome, str):
            failures.append(f"{job.target.name}: {outcome}")
        else:
            table.append(job.line, *outcome)
    if failures:
        raise _unmeasured(path, context.runtime, failures, len(jobs))
    return table


def time_networks(networks: Sequence[Network], timing: Timing, context: MeasureContext) -> list[Measurement]:
    """Time whole networks together, as `build_table` times its checks.

    Raises:
        ExportError: one cannot be made or run.
        HostAway: as `build_table`.
    """
    measurements: list[Measurement] = []
    jobs = [_network_job(network) for network in networks]
    for job, outcome in _timed(jobs, timing, context):
        if isinstance(outcome, str):
            raise ExportError(
                f"{job.target.name} could not be timed: {outcome}",
                where=context.runtime.setup.runtime,
                allowed="Every network must be exported and run",
                do="Leave the operator or the runtime out",
            )
        measurements.append(outcome[0])
    return measurements


def expected_seconds(
    rows: Sequence[tuple[Operator, Shape]],
    checks: Sequence[Network],
    suffix: str,
    export: Exporter,
    export_network: Exporter,
    timing: Timing,
) -> float:
    """Estimate how many seconds measuring will take: the protocol's own time, and files at the pace of the first ones.

    A few files are made for that and thrown away.
    """
    if not rows and not checks:
        return 0.0
    sums = [sum(rough_cost_ms(*link) for link in network.links) for network in checks]
    with tempfile.TemporaryDirectory(prefix="hwnas-") as folder:
        operator_s = _pace(
            [ModelFile("operator", op.module, shape) for op, shape in rows], suffix, export, Path(folder)
        )
        by_size = sorted(checks, key=lambda network: len(network.operators))
        middle = by_size[len(by_size) // 2 :][:1]
        network_s = _pace(
            [ModelFile("network", partial(build, network), network.input_shape) for network in middle],
            suffix,
            export_network,
            Path(folder),
        )
    making_s = len(rows) * operator_s + len(checks) * network_s
    samples_ms = sum(max(timing.min_sample_ms, ms) for ms in [*(rough_cost_ms(*link) for link in rows), *sums])
    starting_s = max(1, timing.processes) * (START_S + (len(rows) + 3 * len(checks)) * LOAD_S)
    warming_s = max(1, timing.processes) * (len(rows) + len(checks)) * timing.warm_up_ms / 1e3
    return making_s + starting_s + warming_s + timing.rounds * samples_ms * (1 + 1 / NOISY_SHARE) / 1e3


def _pace(targets: Sequence[ModelFile], suffix: str, export: Exporter, folder: Path) -> float:
    """Return the seconds that making one of the files takes, once the exporter is warm."""
    begin = seconds = 0.0
    for target in [*targets[:1], *targets[:2]][: 1 + len(targets)]:
        begin = time.perf_counter()
        with suppress(HwnasError):  # measuring will say so; a plan need not
            export(target.make().eval(), target.input_shape, folder / f"any{suffix}")
        seconds = time.perf_counter() - begin
    return seconds


def _timed(
    jobs: Sequence[MeasureJob], timing: Timing, context: MeasureContext
) -> Iterator[tuple[MeasureJob, tuple[Measurement, int] | str]]:
    """Yield samples and file size of each job, or why there are none, sitting by sitting."""
    if not jobs:
        return
    made: list[tuple[MeasureJob, Path]] = []
    every, runtime = [REFERENCE_JOB, *jobs], context.runtime
    targets = job_files(every, runtime.setup, context.exports, context.artifacts, context.progress)
    for job, file in zip(every, targets, strict=True):
        if isinstance(file, HwnasError):
            yield job, first_line(file)
        else:
            made.append((job, file))
    reference = made.pop(0)[1] if made and made[0][0] is REFERENCE_JOB else None

    def further(done: int, planned: int, what: str) -> None:
        context.progress(len(jobs) + done, 2 * len(jobs), what)

    files = [file for _, file in made]
    timed = measure_in_sessions(files, runtime, timing, reference=reference, progress=further, queue=context.queue)
    for index, outcome in timed:
        job, file = made[index]
        yield job, outcome if isinstance(outcome, str) else (outcome, file.stat().st_size)
    context.progress(2 * len(jobs), 2 * len(jobs), "done")


def job_files(
    jobs: Sequence[MeasureJob], setup: Setup, exports: Exports, artifacts: Path, progress: Progress
) -> list[Path | HwnasError]:
    """Return each job's model file; networks are made last, since they take longest."""
    made: dict[int, Path | HwnasError] = {}
    for whole, export in zip((False, True), exports, strict=True):
        indices = [index for index, job in enumerate(jobs) if job.whole is whole]

        def further(done: int, planned: int, what: str, before: int = len(made)) -> None:
            progress(before + done, 2 * len(jobs), what)

        targets = [jobs[index].target for index in indices]
        files = make_files(targets, setup, format_of(setup.runtime).suffix, export, artifacts, progress=further)
        made.update(zip(indices, files, strict=True))
    return [made[index] for index in range(len(jobs))]


def jobs_of(
    table: LatencyTable, operators: Iterable[tuple[Operator, Shape]], networks: Sequence[Network]
) -> list[MeasureJob]:
    """Return jobs for what the table lacks of the overhead, the operators and the networks."""
    jobs = []
    if table.overhead is None:
        jobs.append(MeasureJob(ModelFile("identity", _identity, OVERHEAD_SHAPE), False, OVERHEAD_LINE))
    for operator, shape in plan_table(operators, table):
        name = f"{operator.describe()} at {input_text(shape)}"
        jobs.append(
            MeasureJob(ModelFile(name, operator.module, shape, _code([operator])), False, row_line(operator, shape))
        )
    return jobs + [_network_job(network) for network in plan_checks(networks, table)]


def _network_job(network: Network) -> MeasureJob:
    name = f"network of {counted(len(network.operators), 'operator')}"
    key = "whole" + _code(network.operators)
    return MeasureJob(ModelFile(name, partial(build, network), network.input_shape, key), True, check_line(network))


def _code(operators: Iterable[Operator]) -> str:
    """Return what changes with the code of operators from outside, as it is now: a module that prints the same may
    compute something else after a change."""
    kinds = {type(operator) for operator in operators}
    codes = {source.digest if (source := source_of(kind)) else installed_code(kind) for kind in kinds}
    return "".join(f" {code}" for code in sorted(codes - {""}))


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _reference() -> nn.Module:
    """Return dense, depthwise and pointwise convolutions: the machine's state acts on them as on a network's
    operators."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2, groups=32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 1),
    )


REFERENCE_JOB = MeasureJob(ModelFile("reference", _reference, (32, 28, 28), "whole"), True, {})
"""Reference operator that every table is timed with; it has no row."""


def first_line(error: Exception) -> str:
    """Return an error's message in one line."""
    return error.met if isinstance(error, HwnasError) else reason(error)


def _unmeasured(path: Path, runtime: Runtime, failures: Sequence[str], planned: int) -> TableError:
    return TableError(
        f"{len(failures)} of {planned} could not be timed: {listed(failures)}",
        where=str(path),
        allowed=f"Every operator of the space must be exported and run by {runtime.setup.runtime}",
        do="Change these operators or leave the runtime out; what was measured is stored, the same command continues",
    )
