"""Set-ups of a workspace: their runtimes, exporters and tables, and measuring into the tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import SetupConfig, TimingConfig
from hwnas.errors import ConfigError
from hwnas.export import Format, check_precision, format_of
from hwnas.latency.building.model_files import Exporter
from hwnas.latency.building.quantities import measure_missing_energy, measure_missing_memory
from hwnas.latency.building.table_builder import Exports, MeasureContext, build_table
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
from hwnas.runtimes import Runtime, Setup, checked_setup, open_setup, runtime_spec
from hwnas.runtimes.setup import cpu_name, is_arm
from hwnas.space import AnySpace, Suggest
from hwnas.workspace.measuring.machine_limits import check_batch, check_threads
from hwnas.workspace.measuring.remote_bench import BenchRequest, board_table, fill_on_hosts
from hwnas.workspace.progress import Reporter

if TYPE_CHECKING:
    from hwnas.export.mixed.kernels import Mixed
    from hwnas.export.quantize import Images


Link = tuple[Operator, Shape]


POOL = 400
"""Number of networks among which the checks are chosen."""


def measure_missing(
    request: BenchRequest, timing: Timing, artifacts: Path, reporter: Reporter, title: str
) -> LatencyTable:
    """Measure what a table lacks, here or on the set-up's host, with a bar."""
    config = request.config
    if config.host:
        return fill_on_hosts([request], timing, artifacts, reporter, title)[0]
    context = context_of(request, artifacts, reporter)
    setup = context.runtime.setup
    # What this machine lacks is told before files are made and timed.
    check_threads(config)
    check_batch(config, request.operators, request.networks)
    chosen(setup.cores, setup.threads, timing.pin, Tree())
    if request.energy is not None:
        find_sensor(request.energy.sensor, request.energy.command, cuda=config.accelerator == "cuda")
    with reporter.bar(title) as bar:
        context = replace(context, progress=bar.update)
        table = build_table(request.operators, request.networks, timing, request.path, context)
    if request.space is not None and request.space[0] not in table.spaces:
        table.append_space(*request.space)
    measure_other_quantities(table, request, timing, context, reporter, title)
    return table


def measure_other_quantities(
    table: LatencyTable,
    request: BenchRequest,
    timing: Timing,
    context: MeasureContext,
    reporter: Reporter,
    title: str,
) -> None:
    """Measure what a table lacks of energy and memory, if they are requested."""
    if request.energy is not None:
        with reporter.bar(f"{title}: energy") as bar:
            context = replace(context, progress=bar.update)
            measure_missing_energy(table, request.operators, request.networks, request.energy, context, pin=timing.pin)
    if request.memory:
        with reporter.bar(f"{title}: memory") as bar:
            measure_missing_memory(table, request.networks, replace(context, progress=bar.update))


def context_of(request: BenchRequest, artifacts: Path, reporter: Reporter) -> MeasureContext:
    """Return this machine's way of measuring what is requested."""
    runtime = runtime_of(request.config)
    folder, wait = artifacts / runtime.setup.runtime, LockWait(request.wait_s, reporter.info)
    return MeasureContext(runtime, request.exports, folder, queue=wait)


def bench_request(
    config: SetupConfig,
    path: Path,
    operators: Sequence[Link],
    networks: Sequence[Network],
    space: tuple[str, str] | None = None,
    *,
    wait_s: float = WAIT_S,
) -> BenchRequest:
    """Return the work that a set-up's host, or this machine, is to time.

    `space` is the name and the reference of the space that it is for.
    """
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


def networks_to_validate(space: AnySpace, count: int) -> list[Network]:
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
    declared = declared_setup(setup)
    runtime_spec(setup.runtime)
    device = declared.device or (cpu_name() if declared.accelerator == "cpu" else "")
    return open_setup(checked_setup(replace(declared, device=device)))


def requested_setup(setup: SetupConfig) -> Setup:
    """Return a set-up of a board: fields that only the board knows are empty, unless it was given a name.

    Raises:
        ConfigError: the runtime does not offer the precision or the accelerator.
    """
    return checked_setup(declared_setup(setup))


def declared_setup(setup: SetupConfig) -> Setup:
    """Return a set-up as the experiment describes it, whether a runtime offers it or not."""
    return Setup(
        setup.device or "",
        setup.runtime,
        "",
        setup.threads,
        setup.precision,
        setup.batch,
        setup.accelerator,
        setup.cores or "",
        "signed" if has_signed_activations(setup) else "",
    )


def has_signed_activations(setup: SetupConfig) -> bool:
    """Return whether int8 files of a set-up have signed activations by choice: of its own, or of an ARM processor.

    The processor of a board is not known before it is reached: its set-up says so itself.
    """
    if setup.precision != "int8" or not setup.runtime.startswith("onnxruntime"):
        return False
    return setup.activations == "signed" or (setup.activations == "auto" and setup.host is None and is_arm())


def int8_scheme(setup: SetupConfig) -> str:
    """Return the integers of a set-up's int8 files: `u8s8`, unsigned activations and signed weights, or `s8s8`."""
    unsigned = setup.runtime.startswith("onnxruntime") and not has_signed_activations(setup)
    return "u8s8" if unsigned else "s8s8"


def exporters_of(setup: Setup) -> Exports:
    """Return the exporters of a table's rows and of its checks."""
    return exporter_of(setup, whole=False), exporter_of(setup)


def exporter_of(setup: Setup, *, whole: bool = True) -> Exporter:
    """Return a function that writes a module as a file of the set-up's runtime, at its batch and precision.

    A whole network takes and gives float32. An operator that is timed alone begins and ends in the set-up's precision,
    as it does inside a network. An int8 file is good for timing only.
    """
    made = exporter_for(format_of(setup.runtime), setup.batch, setup.precision, whole=whole)
    return with_activations(made, setup.activations)


def with_activations(exporter: partial[Path], activations: str) -> Exporter:
    """Return an exporter that writes activations of a kind; an empty one is the usual kind of its format."""
    if not activations:
        return exporter
    from hwnas.export.onnx import export_signed_onnx

    return partial(export_signed_onnx, **exporter.keywords)


def mixed_exporter(
    setup: SetupConfig, format_name: str, mixed: Mixed, batch: int, calibration: Images | None = None
) -> Exporter:
    """Return a function that writes a network with a precision for each operator as a file for a set-up.

    Raises:
        ConfigError: files of the format have one precision.
    """
    if format_name == "onnx":
        from hwnas.export.onnx import export_mixed_onnx

        signed = has_signed_activations(setup)
        return partial(export_mixed_onnx, mixed=mixed, batch=batch, calibration=calibration, signed=signed)
    if format_name == "tflite":
        from hwnas.export.tflite import export_mixed_tflite

        return partial(export_mixed_tflite, mixed=mixed, batch=batch, calibration=calibration)
    raise ConfigError(
        f"a precision for each operator is asked of a file of the format `{format_name}`: all of it would be int8",
        where="export",
        allowed="Files of the formats onnx and tflite have operators of two precisions",
        do="Leave the format out, or `precision: mixed`",
    )


def exporter_for(
    file_format: Format,
    batch: int,
    precision: str,
    *,
    whole: bool = True,
    calibration: Images | None = None,
) -> partial[Path]:
    """Return a function that writes a module as a file of a format; `whole` is as of `exporter_of`, `calibration` are
    inputs (N, C, H, W) that int8 takes the ranges of activations from.

    Raises:
        ConfigError: files of the format cannot be written in the precision.
    """
    check_precision(precision, file_format)
    return partial(file_format.exporter, batch=batch, precision=precision, whole=whole, calibration=calibration)


def measurement_protocol(timing: TimingConfig, seed: int) -> Timing:
    """Return the measuring protocol of an experiment."""
    return Timing(**timing.model_dump(exclude={"validation_networks", "device_lock_timeout_s"}), seed=seed)


def device_lock_wait(timing: TimingConfig, reporter: Reporter) -> LockWait:
    """Return the time to wait for this machine, and the function that reports the waiting."""
    return LockWait(timing.device_lock_timeout_s, reporter.info)
