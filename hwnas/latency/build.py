"""Fill a latency table: export every operator, time the files, store the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ExportError, HwnasError, MissingExtra, TableError
from hwnas.latency.measure import Measurement, Timing
from hwnas.latency.sitting import sittings, time_files
from hwnas.latency.table import LatencyTable, check_key, open_table, row_key
from hwnas.network import Network, build
from hwnas.ops import Operator, Shape
from hwnas.runtimes import Runtime

if TYPE_CHECKING:
    from torch import nn

Export = Callable[["nn.Module", Shape, Path], Path]
Progress = Callable[[int, int, str], None]
OVERHEAD_SHAPE: Shape = (8, 1, 1)
SHOWN = 5
"""How many failures an error spells out."""


@dataclass(frozen=True)
class _Job:
    """One file to be timed and where its samples go."""

    name: str
    make: Callable[[], nn.Module]
    input_shape: Shape
    store: Callable[[Measurement, int], None]
    """Takes the samples and the file's size."""


def plan_table(operators: Iterable[tuple[Operator, Shape]], table: LatencyTable) -> list[tuple[Operator, Shape]]:
    """The operators that the table has no row for, each once, in their order."""
    missing = {row_key(operator, shape): (operator, shape) for operator, shape in operators}
    return [link for key, link in missing.items() if key not in table.rows]


def build_table(
    operators: Iterable[tuple[Operator, Shape]],
    runtime: Runtime,
    export: Export,
    timing: Timing,
    path: Path,
    *,
    artifacts: Path,
    networks: Sequence[Network] = (),
    progress: Progress | None = None,
) -> LatencyTable:
    """The table at `path` with a row for every operator, a check for every network and the per-call overhead.

    What stands there is not measured again, so a run that was killed continues; model files are kept in `artifacts`
    and used again. `export` writes a module at the runtime's batch to a path. Rows and checks are timed together, and
    with them a reference operator, by which sittings are compared. `progress` is told (work done, work planned, what
    comes next).

    Raises:
        TableError: the table is damaged or of another set-up, or files could not be made or run; those are listed,
            all others are stored.
    """
    table = open_table(path, runtime.setup)
    jobs = list(_jobs(table, operators, networks))
    failures: list[str] = []
    for job, outcome in _timed(jobs, runtime, export, timing, artifacts, progress):
        if isinstance(outcome, str):
            failures.append(f"{job.name}: {outcome}")
        else:
            job.store(*outcome)
    if failures:
        raise _unmeasured(path, runtime, failures, len(jobs))
    return table


def time_networks(
    networks: Sequence[Network],
    runtime: Runtime,
    export: Export,
    timing: Timing,
    *,
    artifacts: Path,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Whole networks, timed together as `build_table` times its checks.

    Raises:
        ExportError: one cannot be made or run.
    """
    found: list[Measurement] = []
    jobs = [_network_job(network, lambda taken, size: found.append(taken)) for network in networks]
    for job, outcome in _timed(jobs, runtime, export, timing, artifacts, progress):
        if isinstance(outcome, str):
            raise ExportError(
                f"{job.name} could not be timed: {outcome}", where=runtime.setup.runtime,
                allowed="Every network must be exported and run", do="Leave the operator or the runtime out",
            )  # fmt: skip
        job.store(*outcome)
    return found


def _timed(
    jobs: Sequence[_Job], runtime: Runtime, export: Export, timing: Timing, artifacts: Path, progress: Progress | None
) -> Iterator[tuple[_Job, tuple[Measurement, int] | str]]:
    """Samples and file size of each job, sitting by sitting, or why there are none."""
    if not jobs:
        return
    tell = progress or (lambda done, planned, what: None)
    reference = _file_of(_REFERENCE, runtime, export, artifacts)
    files: dict[_Job, Path] = {}
    for number, job in enumerate(jobs):
        tell(number, 2 * len(jobs), f"exporting {job.name}")
        try:
            files[job] = _file_of(job, runtime, export, artifacts)
        except MissingExtra:
            raise
        except Exception as error:  # one operator that a converter refuses must not cost the others their rows
            yield job, _first_line(error)
    made = list(files)
    for places in sittings(list(files.values()), timing):
        group = [made[place] for place in places]

        def further(now: int, planned: int, first: int = places[0], count: int = len(group)) -> None:
            tell(len(jobs) + first + count * now // planned, 2 * len(jobs), f"timing {count} files together")

        sitting = time_files([files[job] for job in group], runtime, timing, reference=reference, progress=further)
        for number, job in enumerate(group):
            if number in sitting.measured:
                yield job, (sitting.measured[number], files[job].stat().st_size)
            else:
                yield job, sitting.failed.get(number, "it gave no samples")
    tell(2 * len(jobs), 2 * len(jobs), "done")


def _jobs(
    table: LatencyTable, operators: Iterable[tuple[Operator, Shape]], networks: Sequence[Network]
) -> Iterator[_Job]:
    if table.overhead is None:
        yield _Job("identity", _identity, OVERHEAD_SHAPE, table.append_overhead)
    for operator, shape in plan_table(operators, table):
        yield _Job(
            f"{operator.describe()} at {'x'.join(map(str, shape))}", operator.module, shape,
            partial(table.append_row, operator, shape),
        )  # fmt: skip
    missing = {check_key(network): network for network in networks}
    for key, network in missing.items():
        if key not in table.checks:
            yield _network_job(network, partial(table.append_check, network))


def _network_job(network: Network, store: Callable[[Measurement, int], None]) -> _Job:
    return _Job(f"network of {len(network.operators)} operators", partial(build, network), network.input_shape, store)


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _reference() -> nn.Module:
    """Dense, depthwise and pointwise convolutions, at a size that leaves no cache: what the machine's state acts on."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 5, padding=2, groups=32), nn.ReLU(),
        nn.Conv2d(32, 64, 1),
    )  # fmt: skip


_REFERENCE = _Job("reference", _reference, (32, 28, 28), lambda taken, size: None)


def _file_of(job: _Job, runtime: Runtime, export: Export, artifacts: Path) -> Path:
    """The job's model file, made unless it is there; its name changes with whatever would change the file."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = job.make().eval()
    setup = runtime.setup
    sizes = [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]
    identity = repr((job.name, job.input_shape, setup.batch, setup.precision, str(module), sizes, torch.__version__))
    path = artifacts / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}{runtime.suffix}"
    return path if path.is_file() else export(module, job.input_shape, path)


def _first_line(error: Exception) -> str:
    lines = (error.met if isinstance(error, HwnasError) else str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _unmeasured(path: Path, runtime: Runtime, failures: Sequence[str], planned: int) -> TableError:
    listed = "; ".join(failures[:SHOWN]) + (f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else "")
    return TableError(
        f"{len(failures)} of {planned} could not be timed: {listed}", where=str(path),
        allowed=f"Every operator of the space must be exported and run by {runtime.setup.runtime}",
        do="Change these operators or leave the runtime out; what was measured is stored, the same command continues",
    )  # fmt: skip
