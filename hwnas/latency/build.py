"""Fill a latency table: export every operator, time the files, store the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import HwnasError, MissingExtra, TableError
from hwnas.latency.measure import Invoke, Measurement, Timing, measure
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
    and used again. `export` writes a module at the runtime's batch to a path. `progress` is told (files made, files
    planned, what comes next).

    Raises:
        TableError: the table is damaged or of another set-up, or files could not be made or run; those are listed,
            all others are stored.
    """
    table = open_table(path, runtime.setup)
    jobs = list(_jobs(table, operators, networks))
    tell = progress or (lambda done, planned, what: None)
    failures: list[str] = []
    for start in range(0, len(jobs), timing.group):
        ready: dict[_Job, Invoke] = {}
        sizes: dict[_Job, int] = {}
        for number, job in enumerate(jobs[start : start + timing.group], start=start):
            tell(number, len(jobs), f"exporting {job.name}")
            try:
                file = _file_of(job, runtime, export, artifacts)
                loaded = runtime.load(file)
                loaded.invoke()
            except MissingExtra:
                raise
            except Exception as error:  # one operator that a runtime refuses must not cost the others their rows
                failures.append(f"{job.name}: {_first_line(error)}")
            else:
                ready[job], sizes[job] = loaded.invoke, file.stat().st_size
        tell(min(start + timing.group, len(jobs)), len(jobs), f"timing {len(ready)} files")
        for job, measurement in measure(ready, timing).items():
            job.store(measurement, sizes[job])
    tell(len(jobs), len(jobs), "done")
    if failures:
        raise _unmeasured(path, runtime, failures, len(jobs))
    return table


def _jobs(
    table: LatencyTable, operators: Iterable[tuple[Operator, Shape]], networks: Sequence[Network]
) -> Iterator[_Job]:
    if table.overhead is None:
        yield _Job("identity", _identity, OVERHEAD_SHAPE, table.append_overhead)
    for operator, shape in plan_table(operators, table):
        yield _Job(
            f"{operator.describe()} at {'x'.join(map(str, shape))}", operator.module, shape,
            lambda taken, size, operator=operator, shape=shape: table.append_row(operator, shape, taken, size),  # type: ignore[misc]
        )  # fmt: skip
    missing = {check_key(network): network for network in networks}
    for key, network in missing.items():
        if key not in table.checks:
            yield _Job(
                f"network of {len(network.operators)} operators",
                lambda network=network: build(network),  # type: ignore[misc]
                network.input_shape,
                lambda taken, size, network=network: table.append_check(network, taken, size),  # type: ignore[misc]
            )


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


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
