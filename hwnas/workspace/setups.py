"""Set-ups of a workspace: their runtimes, exporters and tables, and measuring into the tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import SetupConfig, TimingConfig
from hwnas.export import Format, check_precision, format_of
from hwnas.latency.building.model_files import Exporter
from hwnas.latency.building.quantities import measure_missing_energy, measure_missing_memory
from hwnas.latency.building.table_builder import Exports, build_table
from hwnas.latency.validation_design import choose_validation_networks
from hwnas.measure.conditions.cores import chosen
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.device_lock import WAIT_S, LockWait
from hwnas.measure.energy.meter import EnergyProtocol
from hwnas.measure.energy.sensor import find_sensor
from hwnas.measure.table import LatencyTable, read_table_of
from hwnas.measure.timing import Timing
from hwnas.network import Network, lower
from hwnas.ops import Operator, Shape
from hwnas.runtimes import Runtime, Setup, checked_setup, open_runtime
from hwnas.space import AnySpace, Suggest
from hwnas.workspace.machine_limits import check_batch, check_threads
from hwnas.workspace.progress import Reporter
from hwnas.workspace.remote_bench import BenchRequest, board_table, fill_on_hosts

if TYPE_CHECKING:
    from hwnas.export.quantize import Images


Link = tuple[Operator, Shape]


POOL = 400
"""Number of networks among which the checks are chosen."""


def measure_missing(
    config: SetupConfig,
    path: Path,
    timing: TimingConfig,
    artifacts: Path,
    narrator: Reporter,
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
        requested = config if also else config.model_copy(update={"energy": None, "memory": False})
        order = bench_request(requested, path, operators, networks, space, wait_s=timing.wait_seconds)
        return fill_on_hosts([order], measurement_protocol(timing, 0), artifacts, narrator, title)[0]
    runtime = runtime_of(config)
    # What this machine lacks is told before files are made and timed.
    check_threads(config)
    check_batch(config, operators, networks)
    chosen(runtime.setup.cores, runtime.setup.threads, timing.pin, Tree())
    if also and config.energy is not None:
        find_sensor(config.energy.sensor, config.energy.command, cuda=config.accelerator == "cuda")
    export, export_network = exporters_of(runtime.setup)
    with narrator.bar(title) as bar:
        table = build_table(
            operators, runtime, export, measurement_protocol(timing, 0), path,
            artifacts=artifacts / runtime.setup.runtime, networks=networks, export_network=export_network,
            progress=bar.update, queue=device_lock_wait(timing, narrator),
        )  # fmt: skip
    if space is not None and space[0] not in table.spaces:
        table.append_space(*space)
    if also:
        measure_other_quantities(
            table, runtime, timing, artifacts / runtime.setup.runtime, narrator, title, operators, networks, config
        )
    return table


def measure_other_quantities(
    table: LatencyTable,
    runtime: Runtime,
    timing: TimingConfig,
    artifacts: Path,
    narrator: Reporter,
    title: str,
    operators: Sequence[Link],
    networks: Sequence[Network],
    also: SetupConfig,
) -> None:
    """Measure what a table lacks of energy and memory, if the set-up asks for them."""
    exports = exporters_of(runtime.setup)
    if also.energy is not None:
        meter = EnergyProtocol(**also.energy.model_dump())
        with narrator.bar(f"{title}: energy") as bar:
            measure_missing_energy(
                table, operators, networks, runtime, exports, meter, pin=timing.pin, artifacts=artifacts,
                progress=bar.update, queue=device_lock_wait(timing, narrator),
            )  # fmt: skip
    if also.memory:
        with narrator.bar(f"{title}: memory") as bar:
            queue = device_lock_wait(timing, narrator)
            measure_missing_memory(
                table, networks, runtime, exports, artifacts=artifacts, progress=bar.update, queue=queue
            )


def bench_request(
    config: SetupConfig,
    path: Path,
    operators: Sequence[Link],
    networks: Sequence[Network],
    space: tuple[str, str] | None = None,
    *,
    wait_s: float = WAIT_S,
) -> BenchRequest:
    """Return the work that a set-up's host is to time."""
    wanted = requested_setup(config)
    energy = None if config.energy is None else EnergyProtocol(**config.energy.model_dump())
    return BenchRequest(
        config, wanted, path, exporters_of(wanted), operators, networks, space, energy, config.memory, wait_s
    )


def table_of(config: SetupConfig, path: Path) -> LatencyTable:
    """Return a set-up's table: of this machine, or of the host.

    Raises:
        TableError: it is missing, damaged, of another set-up, or without times of a processor.
    """
    return board_table(path, requested_setup(config)) if config.host else read_table_of(path, runtime_of(config).setup)


def validation_networks(space: AnySpace, count: int) -> list[Network]:
    """Return networks to be timed whole, as evidence on joint costs of operators: the most informative ones of a pool.

    The pool is fixed. Every other one of it is uniform at each choice instead of over all architectures, most of which
    are deep.
    """
    rng = random.Random(0)
    hands: tuple[Suggest, ...] = (lambda choice: choice.draw(rng), lambda choice: rng.choice(choice.options))
    drawn = [space.sample(hands[number % 2]) for number in range(POOL)] if count else []
    pool = dict.fromkeys([space.smallest(), space.largest(), *drawn])
    return choose_validation_networks([lower(space, architecture) for architecture in pool], count)


def runtime_of(setup: SetupConfig) -> Runtime:
    """Return the runtime of a set-up on this machine."""
    return open_runtime(
        setup.runtime, threads=setup.threads, precision=setup.precision, batch=setup.batch, device=setup.device,
        accelerator=setup.accelerator, cores=setup.cores or "",
    )  # fmt: skip


def requested_setup(setup: SetupConfig) -> Setup:
    """Return a set-up of a board: fields that only the board knows are empty, unless it was given a name.

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


def exporters_of(setup: Setup) -> Exports:
    """Return the exporters of a table's rows and of its checks."""
    return exporter_of(setup, whole=False), exporter_of(setup)


def exporter_of(setup: Setup, *, whole: bool = True, calibration: Images | None = None) -> Exporter:
    """Return a function that writes a module as a file of the set-up's runtime, at its batch and precision.

    A whole network takes and gives float32. An operator that is timed alone begins and ends in the set-up's precision,
    as it does inside a network. Without `calibration`, inputs (N, C, H, W), an int8 file is good for timing only.
    """
    return exporter_for(format_of(setup.runtime), setup.batch, setup.precision, whole=whole, calibration=calibration)


def exporter_for(
    file_format: Format, batch: int, precision: str, *, whole: bool = True, calibration: Images | None = None
) -> Exporter:
    """Return a function that writes a module as a file of a format; the options are those of `exporter_of`.

    Raises:
        ConfigError: files of the format cannot be written in the precision.
    """
    check_precision(precision, file_format)
    return partial(file_format.exporter, batch=batch, precision=precision, whole=whole, calibration=calibration)


def measurement_protocol(timing: TimingConfig, seed: int) -> Timing:
    """Return the measuring protocol of an experiment."""
    return Timing(**timing.model_dump(exclude={"checks", "wait_seconds"}), seed=seed)


def device_lock_wait(timing: TimingConfig, narrator: Reporter) -> LockWait:
    """Return the time to wait for this machine, and the function that reports the waiting."""
    return LockWait(timing.wait_seconds, narrator.info)
