"""Latency tables: measuring what the set-ups of a run, or a space on one set-up, need."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.config import SetupConfig, TimingConfig, parse_setup
from hwnas.config.setups import MIXED
from hwnas.export import format_of
from hwnas.latency.building.table_builder import expected_seconds, plan_checks, plan_table
from hwnas.measure.conditions.cores import chosen
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.table import LatencyTable, read_table
from hwnas.measure.table_file import refuse_unwritable
from hwnas.network import Network, operators_of
from hwnas.space import FunctionSpace
from hwnas.words import brief
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.folder import locked, space_copy
from hwnas.workspace.measuring.machine_limits import check_batch, check_threads, unusual
from hwnas.workspace.measuring.remote_bench import fill_on_hosts
from hwnas.workspace.measuring.setups import (
    Link,
    bench_request,
    exporters_of,
    measure_missing,
    measurement_protocol,
    networks_to_validate,
    requested_setup,
    runtime_of,
    table_of,
)
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.spaces import open_space, split_reference
from hwnas.workspace.workspace import Workspace, open_run


@brief
@dataclass(frozen=True)
class BenchResult:
    """A table after `bench`: its path, its contents, and what was measured now."""

    table: Path
    setup: dict[str, object]
    rows: int
    checks: int
    missing: int = 0
    """Number of rows that a dry run found missing; 0 after measuring."""
    missing_checks: int = 0
    """Number of missing checks, likewise."""
    seconds: float = 0.0
    """Time that a dry run expects measuring to take."""


def bench(
    reference: str | Path, *, runs: Path = Path("runs"), dry_run: bool = False, reporter: Reporter | None = None
) -> list[BenchResult]:
    """Measure what the tables of an experiment's set-ups lack; existing rows are kept.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        dry_run: only count what is missing.
        reporter: receives messages and progress; silent if left out.

    Returns:
        For each set-up, its table with the numbers of rows and checks, those that a dry run found missing, and the
        seconds that measuring them takes.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        TableError: a table is damaged or of another set-up.
        HostAway: somebody else measures on the device, or a board cannot be reached.

    Example:
        >>> from hwnas import pipeline
        >>> [result.missing for result in pipeline.bench("mini.yaml", dry_run=True)]
        [0]
    """
    run = open_run(reference, runs=runs, reporter=reporter)
    if dry_run:
        return list(plan_tables(run).values())
    with locked(run):
        return bench_run(run, default_reporter(reporter))


def plan_tables(run: Workspace) -> dict[str, BenchResult]:
    """Return what would be measured for each set-up of a run that needs a table."""
    operators = list(operators_of(run.space))
    networks = networks_to_validate(run.space, run.experiment.timing.validation_networks)
    return {
        name: plan_bench(
            [*operators, *conversions(run, name)], networks, setup, run.experiment.timing, run.paths.table(name)
        )
        for name, setup in run.experiment.setups.items()
        if run.objectives.needs_table(name)
    }


def conversions(run: Workspace, setup: str) -> list[Link]:
    """Return the conversions between precisions that a set-up's table needs: some where a tier of mixed precision
    predicts by it, as the set-up in int8."""
    tiers = [name for name, tier in run.experiment.tiers.items() if tier.precision == MIXED]
    if not any(run.experiment.setups_of(tier)["int8"] == setup for tier in tiers):
        return []
    from hwnas.mixed_precision.boundaries import boundary_links
    from hwnas.ops.costs import operator_costs

    links = operators_of(run.space)
    return boundary_links(shape for link in links for shape in (link[1], operator_costs(*link).output_shape))


def front_seconds(run: Workspace, name: str) -> float:
    """Return the seconds in which the networks of a front are timed on a set-up, if they are ten."""
    config, networks = run.experiment.setups[name], networks_to_validate(run.space, 10)
    setup, timing = requested_setup(config), measurement_protocol(run.experiment.timing, 0)
    return expected_seconds([], networks, format_of(setup.runtime).suffix, *exporters_of(setup), timing)


def bench_run(run: Workspace, reporter: Reporter) -> list[BenchResult]:
    """Measure, for an opened run."""
    config, artifacts = run.experiment, run.folder / "artifacts"
    wanted = {name: setup for name, setup in config.setups.items() if run.objectives.needs_table(name)}
    if not wanted:
        return []
    for name, setup in config.setups.items():
        for notice in unusual(name, setup):
            reporter.info(notice)
    with adding_elapsed(run.paths.elapsed, "latency"):
        operators = list(operators_of(run.space))
        networks = networks_to_validate(run.space, config.timing.validation_networks)
        known = (run.space.name, _reference_in(run))
        wait_s, timing = config.timing.device_lock_timeout_s, measurement_protocol(config.timing, 0)
        requests = {
            name: bench_request(
                setup, run.paths.table(name), [*operators, *conversions(run, name)], networks, known, wait_s=wait_s
            )
            for name, setup in wanted.items()
        }
        tables = {
            name: measure_missing(request, timing, artifacts, reporter, f"timing {name}")
            for name, request in requests.items()
            if not request.config.host
        }
        if hosted := {name: request for name, request in requests.items() if request.config.host}:
            filled = fill_on_hosts(list(hosted.values()), timing, artifacts, reporter, f"timing {', '.join(hosted)}")
            tables.update(zip(hosted, filled, strict=True))
        return [bench_result(tables[name], reporter) for name in wanted]


def bench_space(
    space: str | Path,
    *,
    runtime: str,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    accelerator: str = "cpu",
    cores: str | None = None,
    energy: str | None = None,
    energy_command: str | None = None,
    memory: bool = False,
    validation_networks: int | None = None,
    table: Path,
    dry_run: bool = False,
    timing: TimingConfig | None = None,
    reporter: Reporter | None = None,
) -> BenchResult:
    """Measure what a table lacks of one space's operators, and of the networks that teach most.

    Model files are kept beside the table until all of it is measured.

    Args:
        space: a space file, a shipped name, or `file.py:function`.
        runtime: a name in `hwnas.runtimes.RUNTIMES`.
        threads: number of threads of the runtime.
        batch: samples in a call; times are of the whole call.
        precision: numbers that files compute with, such as `fp32` or `int8`.
        accelerator: `cpu`, or another one that the runtime has.
        cores: cluster or list of the cores that calls are bound to.
        energy: name of a sensor, or `auto`; without it no energy is measured.
        energy_command: command that prints watts, in place of a sensor.
        memory: measure peak memory as well.
        validation_networks: number of whole networks beside the operators; the protocol's if left out.
        table: the table's file, made if it does not exist.
        dry_run: only count what is missing.
        timing: the measurement protocol.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The table with the numbers of rows and checks, and those that a dry run found missing.

    Raises:
        ConfigError, SpaceError: the space or the set-up is invalid.
        TableError: the table is damaged or of another set-up.
        HostAway: somebody else measures on this machine.

    Example:
        >>> from pathlib import Path
        >>> from hwnas import pipeline
        >>> plan = pipeline.bench_space("space.yaml", runtime="onnxruntime", table=Path("new.jsonl"), dry_run=True)
        >>> plan.rows, plan.missing
        (0, 6)
    """
    if not dry_run:
        refuse_unwritable(table)
    wanted: dict[str, Any] = {
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "precision": precision,
        "accelerator": accelerator,
        "cores": cores,
        "memory": memory,
    }
    if energy is not None or energy_command is not None:
        wanted["energy"] = {"sensor": energy or "auto", "command": energy_command or ""}
    config, timing = parse_setup(wanted, where="set-up"), timing or TimingConfig()
    check_threads(config)
    requested_setup(config)
    chosen(config.cores or "", config.threads, timing.pin, Tree())
    if table.exists():
        read_table(table)
    opened, file = open_space(space, reporter=reporter)
    operators = list(operators_of(opened))
    count = timing.validation_networks if validation_networks is None else validation_networks
    networks = networks_to_validate(opened, count)
    if dry_run:
        return plan_bench(operators, networks, config, timing, table)
    artifacts, reporter = table.with_name(f"{table.name}.files"), default_reporter(reporter)
    known = (opened.name, reference_of(space, file))
    request = bench_request(config, table, operators, networks, known, wait_s=timing.device_lock_timeout_s)
    filled = measure_missing(request, measurement_protocol(timing, 0), artifacts, reporter, f"timing {table.stem}")
    shutil.rmtree(artifacts, ignore_errors=True)
    return bench_result(filled, reporter)


def _reference_in(run: Workspace) -> str:
    """Return the name of a run's space in its tables. Where the experiment adds plugins to a space of stages, or opens
    a network of the user's, it is the run's copy, which names them all."""
    config = run.experiment
    adds = config.plugins and not isinstance(run.space, FunctionSpace)
    if adds or not isinstance(config.space, str):
        return str(space_copy(run).absolute())
    return reference_of(config.space, run.space_file)


def reference_of(given: str | Path, file: Path) -> str:
    """Return the name of a space in a table: a shipped one as it was given, a file by its absolute path."""
    name, function = split_reference(given)
    if not name.suffix:
        return str(given)
    return str(file.absolute()) + (f":{function}" if function else "")


def plan_bench(
    operators: Sequence[Link], networks: Sequence[Network], config: SetupConfig, timing: TimingConfig, path: Path
) -> BenchResult:
    """Return what would be measured; where no table exists, none is created."""
    setup = requested_setup(config) if config.host else runtime_of(config).setup
    check_threads(config)
    check_batch(config, operators, networks)
    table = table_of(config, path) if path.exists() else LatencyTable(path, setup)
    rows, checks = plan_table(operators, table), plan_checks(networks, table)
    seconds = expected_seconds(
        rows, checks, format_of(setup.runtime).suffix, *exporters_of(setup), measurement_protocol(timing, 0)
    )
    return BenchResult(path, setup.as_dict(), len(table.rows), len(table.checks), len(rows), len(checks), seconds)


def bench_result(table: LatencyTable, reporter: Reporter) -> BenchResult:
    """Return the result for a table that was filled."""
    for notice in table.notices:
        reporter.info(notice)
    return BenchResult(table.path, table.setup.as_dict(), len(table.rows), len(table.checks))
