"""Kits: a space's timings as one file that runs on a board, by hand or from here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.boards.pack import PackedKit, pack_kit, refuse_output, refuse_runtime
from hwnas.commands.bench import BenchResult, bench_result, plan_bench, reference_of
from hwnas.config import TimingConfig, parse_setup
from hwnas.errors import ConfigError
from hwnas.io.resources import find_file
from hwnas.latency.building.quantities import missing_jobs
from hwnas.measure.table import LatencyTable, read_table
from hwnas.measure.table_file import refuse_unwritable
from hwnas.network import operators_of
from hwnas.workspace.measuring.remote_bench import fill_on_hosts, host_table, kit_contents
from hwnas.workspace.measuring.setups import bench_request, measurement_protocol, networks_to_validate, requested_setup
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.spaces import open_space


def pack(
    space: str | Path,
    out: Path,
    *,
    validation_networks: int | None = None,
    lacking: str | Path | None = None,
    timing: TimingConfig | None = None,
    reporter: Reporter | None = None,
    **setup: Any,
) -> PackedKit:
    """Write a kit that times all operators of a space, and the whole networks that teach most.

    Args:
        space: a space file, a shipped name, or `file.py:function`.
        out: the kit's file.
        validation_networks: number of whole networks beside the operators; 20 if left out.
        lacking: a table of the board: only what it lacks is packed.
        timing: the measurement protocol.
        reporter: receives messages and progress; silent if left out.
        setup: `runtime`, and as wanted `threads`, `batch`, `precision`, `accelerator`, `cores`, `device`,
            `energy`, `memory`.

    Returns:
        The kit's path, the number of its model files, and their bytes, packed and unpacked.

    Raises:
        ConfigError, SpaceError: the space or the set-up is invalid, or the table lacks nothing.
        ExportError: a model file cannot be made.
        RunError: the kit cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from hwnas import pipeline
        >>> pipeline.pack("space.yaml", Path("kit.pyz"), runtime="onnxruntime", validation_networks=0).files
        8
    """
    refuse_output(out)
    config = parse_setup(setup, where="set-up")
    refuse_runtime(config.runtime)
    requested_setup(config)
    known = None if lacking is None else read_table(find_file(lacking, "latency_tables"))
    opened, file = open_space(space, reporter=reporter)
    order = bench_request(config, out, list(operators_of(opened)), [], (opened.name, reference_of(space, file)))
    timing, table = timing or TimingConfig(), known or LatencyTable(out, order.requested)
    count = timing.validation_networks if validation_networks is None else validation_networks
    networks = networks_to_validate(opened, count)
    jobs = missing_jobs(table, order.operators, networks, energy=order.energy is not None, memory=order.memory)
    if not jobs:
        raise ConfigError(
            f"the table lacks nothing of the space `{opened.name}`, and a kit would be empty",
            where=str(lacking),
            allowed="A kit holds what a board is still to time",
            do="Use the table as it is, or pack another space",
        )
    artifacts = out.with_name(f"{out.name}.files")
    with default_reporter(reporter).bar(f"packing {out.name}") as bar:
        contents = kit_contents(order, measurement_protocol(timing, 0), f"{out.name.removesuffix('.pyz')}.jsonl")
        packed = pack_kit(out, contents, jobs, artifacts=artifacts, progress=bar.update)
    shutil.rmtree(artifacts, ignore_errors=True)
    return packed


def bench_hosts(
    space: str | Path,
    hosts: Sequence[str],
    table: Path,
    *,
    own_names: bool = False,
    validation_networks: int | None = None,
    dry_run: bool = False,
    timing: TimingConfig | None = None,
    reporter: Reporter | None = None,
    **setup: Any,
) -> list[BenchResult]:
    """Measure what the tables of boards lack of one space, all boards at once.

    Args:
        space: a space file, a shipped name, or `file.py:function`.
        hosts: `pi@raspberrypi`, names in ~/.ssh/config, `adb:SERIAL`.
        table: the table of a single host; of several, each host's name is added to it.
        own_names: add the host's name even if there is only one.
        validation_networks: number of whole networks beside the operators; 20 if left out.
        dry_run: only count what is missing; no board is contacted.
        timing: the measurement protocol.
        reporter: receives messages and progress; silent if left out.
        setup: as for `pack`, and `python` and `ssh_config`.

    Returns:
        For each host, its table with the numbers of rows and checks, and those that a dry run found missing.

    Raises:
        ConfigError, SpaceError: the space or the set-up is invalid.
        TableError: a table is damaged or of another set-up.
        HostAway: a board cannot be reached.

    Example:
        >>> from pathlib import Path
        >>> from hwnas import pipeline
        >>> board = dict(runtime="onnxruntime", dry_run=True)
        >>> [plan.missing for plan in pipeline.bench_hosts("space.yaml", ["pi@raspberrypi"], Path("pi.jsonl"), **board)]
        [6]
    """
    paths = [host_table(table, host) if own_names or len(hosts) > 1 else table for host in hosts]
    if not dry_run:
        for path in paths:
            refuse_unwritable(path)
    configs = [parse_setup({**setup, "host": host}, where="set-up") for host in hosts]
    for config in configs:
        requested_setup(config)
    opened, file = open_space(space, reporter=reporter)
    timing, reporter = timing or TimingConfig(), default_reporter(reporter)
    operators = list(operators_of(opened))
    count = timing.validation_networks if validation_networks is None else validation_networks
    networks = networks_to_validate(opened, count)
    if dry_run:
        return [
            plan_bench(operators, networks, config, timing, path) for config, path in zip(configs, paths, strict=True)
        ]
    known = (opened.name, reference_of(space, file))
    orders = [
        bench_request(config, path, operators, networks, known, wait_s=timing.device_lock_timeout_s)
        for config, path in zip(configs, paths, strict=True)
    ]
    artifacts = table.with_name(f"{table.name}.files")
    title = f"timing {opened.name} on {', '.join(hosts)}"
    filled = fill_on_hosts(orders, measurement_protocol(timing, 0), artifacts, reporter, title)
    shutil.rmtree(artifacts, ignore_errors=True)
    return [bench_result(filled_table, reporter) for filled_table in filled]
