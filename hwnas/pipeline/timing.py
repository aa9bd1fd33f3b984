"""Latency tables: what the set-ups of a run, or a space on one set-up, need measured."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.config import SetupConfig, TimingConfig, parse_setup
from hwnas.export import EXPORTERS
from hwnas.latency.artifacts import Export
from hwnas.latency.build import Exports, build_table, expected_seconds, plan_checks, plan_table
from hwnas.latency.choose import choose_checks
from hwnas.latency.conditions.cores import chosen
from hwnas.latency.conditions.tree import Tree
from hwnas.latency.energy.meter import EnergyProtocol
from hwnas.latency.energy.sensor import find_sensor
from hwnas.latency.file import refuse_unwritable
from hwnas.latency.measure import Timing
from hwnas.latency.quantities import fill_energy, fill_memory
from hwnas.latency.table import LatencyTable, read_table_of
from hwnas.latency.turns import WAIT_S, Queue
from hwnas.lookup import member
from hwnas.network import Network, lower, operators_of
from hwnas.ops import Operator, Shape
from hwnas.pipeline.boards import Order, board_table, fill_on_hosts
from hwnas.pipeline.machine import check_batch, check_threads, unusual
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.spaces import open_space, split_reference
from hwnas.pipeline.workspace import Run, open_run
from hwnas.runtimes import Runtime, Setup, checked_setup, open_runtime, suffix_of
from hwnas.space import AnySpace, FunctionSpace, Suggest

if TYPE_CHECKING:
    from hwnas.export.quantize import Images

Link = tuple[Operator, Shape]
POOL = 400
"""Networks among which the checks are chosen."""


@dataclass(frozen=True)
class Benched:
    """A table after `bench`: where it is, what it holds, what was measured now."""

    table: Path
    setup: dict[str, object]
    rows: int
    checks: int
    missing: int = 0
    """Rows that a dry run found missing; 0 after measuring."""
    missing_checks: int = 0
    """Checks likewise."""
    seconds: float = 0.0
    """What a dry run expects measuring to take."""


def bench(
    reference: str | Path, *, runs: Path = Path("runs"), dry_run: bool = False, narrator: Narrator | None = None
) -> list[Benched]:
    """Measure what the tables of an experiment's set-ups lack; rows that are there stay."""
    run = open_run(reference, runs=runs, narrator=narrator)
    if dry_run:
        operators = list(operators_of(run.space))
        networks = check_networks(run.space, run.experiment.timing.checks)
        return [
            lacking(operators, networks, setup, run.experiment.timing, run.table_path(name))
            for name, setup in run.experiment.setups.items()
            if run.predicts(name)
        ]
    with run.opened():
        return bench_run(run, narrator or Silent())


def bench_run(run: Run, narrator: Narrator) -> list[Benched]:
    """Measure, for an opened run."""
    config, artifacts = run.experiment, run.folder / "artifacts"
    wanted = {name: setup for name, setup in config.setups.items() if run.predicts(name)}
    if not wanted:
        return []
    for name, setup in config.setups.items():
        for notice in unusual(name, setup):
            narrator.say(notice)
    with run.timed("latency"):
        operators = list(operators_of(run.space))
        networks = check_networks(run.space, config.timing.checks)
        known = (run.space.name, _reference_in(run))
        tables = {}
        for name, setup in wanted.items():
            if not setup.host:
                tables[name] = fill(
                    setup, run.table_path(name), config.timing, artifacts, narrator, f"timing {name}", operators,
                    networks, known, also=True,
                )  # fmt: skip
        if hosted := {name: setup for name, setup in wanted.items() if setup.host}:
            orders = [
                order_of(setup, run.table_path(name), operators, networks, known, wait_s=config.timing.wait_seconds)
                for name, setup in hosted.items()
            ]
            title = f"timing {', '.join(hosted)}"
            filled = fill_on_hosts(orders, protocol(config.timing, 0), artifacts, narrator, title)
            tables.update(zip(hosted, filled, strict=True))
        return [measured(tables[name], narrator) for name in wanted]


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
    checks: int | None = None,
    table: Path,
    dry_run: bool = False,
    timing: TimingConfig | None = None,
    narrator: Narrator | None = None,
) -> Benched:
    """Measure what a table lacks of one space's operators, and of the `checks` networks that teach most.

    `energy` names a sensor, or is `auto`; `energy_command` prints watts; `timing` is the protocol.
    Model files are kept beside the table until all of it is measured.
    """
    if not dry_run:
        refuse_unwritable(table)
    wanted: dict[str, Any] = {
        "runtime": runtime, "threads": threads, "batch": batch, "precision": precision, "accelerator": accelerator,
        "cores": cores, "memory": memory,
    }  # fmt: skip
    if energy is not None or energy_command is not None:
        wanted["energy"] = {"sensor": energy or "auto", "command": energy_command or ""}
    config, timing = parse_setup(wanted, where="set-up"), timing or TimingConfig()
    check_threads(config)
    wished(config)
    opened, file = open_space(space, narrator=narrator)
    operators = list(operators_of(opened))
    networks = check_networks(opened, timing.checks if checks is None else checks)
    if dry_run:
        return lacking(operators, networks, config, timing, table)
    artifacts, narrator = table.with_name(f"{table.name}.files"), narrator or Silent()
    known = (opened.name, reference_of(space, file))
    filled = fill(
        config, table, timing, artifacts, narrator, f"timing {table.stem}", operators, networks, known, also=True
    )
    shutil.rmtree(artifacts, ignore_errors=True)
    return measured(filled, narrator)


def _reference_in(run: Run) -> str:
    """How the tables of a run name its space. Where the experiment adds plugins to a space of stages, it is the run's
    copy that names them all."""
    config = run.experiment
    adds = config.plugins and not isinstance(run.space, FunctionSpace)
    return str(run.kept_space.absolute()) if adds else reference_of(config.space, run.space_file)


def reference_of(given: str | Path, file: Path) -> str:
    """How a table names its space: a shipped one as it was given, a file by its whole path."""
    name, function = split_reference(given)
    if not name.suffix:
        return str(given)
    return str(file.absolute()) + (f":{function}" if function else "")


def lacking(
    operators: Sequence[Link], networks: Sequence[Network], config: SetupConfig, timing: TimingConfig, path: Path
) -> Benched:
    """What would be measured; where there is no table, none is begun."""
    setup = wished(config) if config.host else runtime_of(config).setup
    check_threads(config)
    check_batch(config, operators, networks)
    table = table_of(config, path) if path.exists() else LatencyTable(path, setup)
    rows, checks = plan_table(operators, table), plan_checks(networks, table)
    seconds = expected_seconds(rows, checks, suffix_of(setup.runtime), *exports_of(setup), protocol(timing, 0))
    return Benched(path, setup.as_dict(), len(table.rows), len(table.checks), len(rows), len(checks), seconds)


def measured(table: LatencyTable, narrator: Narrator) -> Benched:
    """What came of a table that was filled."""
    for notice in table.notices:
        narrator.say(notice)
    return Benched(table.path, table.setup.as_dict(), len(table.rows), len(table.checks))


def fill(
    config: SetupConfig,
    path: Path,
    timing: TimingConfig,
    artifacts: Path,
    narrator: Narrator,
    title: str,
    operators: Sequence[Link],
    networks: Sequence[Network],
    space: tuple[str, str] | None = None,
    *,
    also: bool = False,
) -> LatencyTable:
    """Measure what a table lacks, here or on the set-up's host, with a bar.

    `space` is the name and the reference of the space that it is for; `also`: energy and memory too, if the set-up asks
    for them.
    """
    if config.host:
        asked = config if also else config.model_copy(update={"energy": None, "memory": False})
        order = order_of(asked, path, operators, networks, space, wait_s=timing.wait_seconds)
        return fill_on_hosts([order], protocol(timing, 0), artifacts, narrator, title)[0]
    runtime = runtime_of(config)
    # What this machine lacks is told before files are made and timed.
    check_threads(config)
    check_batch(config, operators, networks)
    chosen(runtime.setup.cores, runtime.setup.threads, timing.pin, Tree())
    if also and config.energy is not None:
        find_sensor(config.energy.sensor, config.energy.command, cuda=config.accelerator == "cuda")
    export, export_network = exports_of(runtime.setup)
    with narrator.bar(title) as bar:
        table = build_table(
            operators, runtime, export, protocol(timing, 0), path, artifacts=artifacts / runtime.setup.runtime,
            networks=networks, export_network=export_network, progress=bar.update,
            queue=queue_of(timing, narrator),
        )  # fmt: skip
    if space is not None and space[0] not in table.spaces:
        table.append_space(*space)
    if also:
        fill_others(
            table, runtime, timing, artifacts / runtime.setup.runtime, narrator, title, operators, networks, config
        )
    return table


def fill_others(
    table: LatencyTable,
    runtime: Runtime,
    timing: TimingConfig,
    artifacts: Path,
    narrator: Narrator,
    title: str,
    operators: Sequence[Link],
    networks: Sequence[Network],
    also: SetupConfig,
) -> None:
    """Measure what a table lacks of energy and memory, if the set-up asks for them."""
    exports = exports_of(runtime.setup)
    if also.energy is not None:
        meter = EnergyProtocol(**also.energy.model_dump())
        with narrator.bar(f"{title}: energy") as bar:
            fill_energy(
                table, operators, networks, runtime, exports, meter, pin=timing.pin, artifacts=artifacts,
                progress=bar.update, queue=queue_of(timing, narrator),
            )  # fmt: skip
    if also.memory:
        with narrator.bar(f"{title}: memory") as bar:
            queue = queue_of(timing, narrator)
            fill_memory(table, networks, runtime, exports, artifacts=artifacts, progress=bar.update, queue=queue)


def order_of(
    config: SetupConfig,
    path: Path,
    operators: Sequence[Link],
    networks: Sequence[Network],
    space: tuple[str, str] | None = None,
    *,
    wait_s: float = WAIT_S,
) -> Order:
    """What a set-up's host is to time."""
    wanted = wished(config)
    energy = None if config.energy is None else EnergyProtocol(**config.energy.model_dump())
    return Order(config, wanted, path, exports_of(wanted), operators, networks, space, energy, config.memory, wait_s)


def table_of(config: SetupConfig, path: Path) -> LatencyTable:
    """A set-up's table: of this machine, or of the host.

    Raises:
        TableError: it is missing, damaged, of another set-up, or of no processor's times.
    """
    return board_table(path, wished(config)) if config.host else read_table_of(path, runtime_of(config).setup)


def check_networks(space: AnySpace, count: int) -> list[Network]:
    """Networks that are timed whole, evidence on what operators cost together: those of a pool that teach most.

    The pool is fixed. Every other one of it is uniform at each choice instead of over all architectures, most of which
    are deep.
    """
    rng = random.Random(0)
    hands: tuple[Suggest, ...] = (lambda choice: choice.draw(rng), lambda choice: rng.choice(choice.options))
    drawn = [space.sample(hands[number % 2]) for number in range(POOL)] if count else []
    pool = dict.fromkeys([space.smallest(), space.largest(), *drawn])
    return choose_checks([lower(space, architecture) for architecture in pool], count)


def runtime_of(setup: SetupConfig) -> Runtime:
    """The runtime of a set-up on this machine."""
    return open_runtime(
        setup.runtime, threads=setup.threads, precision=setup.precision, batch=setup.batch, device=setup.device,
        accelerator=setup.accelerator, cores=setup.cores or "",
    )  # fmt: skip


def wished(setup: SetupConfig) -> Setup:
    """A set-up of a board: what only the board can tell is empty, unless it was given a name.

    Raises:
        ConfigError: the runtime does not offer the precision or the accelerator.
    """
    return checked_setup(
        Setup(
            setup.device or "",
            setup.runtime,
            "",
            setup.threads,
            setup.precision,
            setup.batch,
            setup.accelerator,
            setup.cores or "",
        )
    )


def exports_of(setup: Setup) -> Exports:
    """What writes the files of a table's rows, and those of its checks."""
    return exporter_of(setup, whole=False), exporter_of(setup)


def exporter_of(setup: Setup, *, whole: bool = True, calibration: Images | None = None) -> Export:
    """The function that writes a module as the file of the set-up's runtime, at the set-up's batch and precision.

    A whole network takes and gives float32. An operator that is timed alone begins and ends in the set-up's precision,
    as it does inside a network. Without `calibration`, inputs (N, C, H, W), an int8 file is good for timing only.
    """
    export = member(EXPORTERS, setup.runtime, what="runtime", where="export")
    return partial(export, batch=setup.batch, precision=setup.precision, whole=whole, calibration=calibration)


def protocol(timing: TimingConfig, seed: int) -> Timing:
    """The measuring protocol of an experiment."""
    return Timing(**timing.model_dump(exclude={"checks", "wait_seconds"}), seed=seed)


def queue_of(timing: TimingConfig, narrator: Narrator) -> Queue:
    """How long this machine is waited for, and who is told that it is."""
    return Queue(timing.wait_seconds, narrator.say)
