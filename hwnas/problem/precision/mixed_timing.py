"""Timing of networks with a precision for each operator, as whole files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.latency.building.table_builder import REFERENCE_JOB, job_files
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.session import time_files
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.problem.precision.mixed_files import mixed_file
from hwnas.search.fronts import FrontPoint
from hwnas.workspace.measuring.setups import (
    device_lock_wait,
    exporters_of,
    measurement_protocol,
    runtime_of,
    table_of,
)
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace


def time_mixed(
    run: Workspace, tier: str, points: Sequence[FrontPoint], reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Return the latencies of networks with a precision for each operator, by candidate and metric of the tier.

    They are timed together, in the machine's state in which the table in int8 was made. Those of a board keep their
    predictions.
    """
    if not points:
        return {}
    name = setup_of_point(run, tier, points[0])
    config = run.experiment.setups[name]
    if config.host:
        reporter.info(f"{tier}: {len(points)} networks of mixed precision keep predicted latencies: a board times none")
        return {}
    runtime, timing = runtime_of(config), run.experiment.timing
    artifacts = run.folder / "artifacts" / runtime.setup.runtime
    with reporter.bar(f"timing the {tier} mixed front") as bar:
        files = [mixed_file(run, tier, point) for point in points]
        (reference,) = job_files([REFERENCE_JOB], runtime.setup, exporters_of(runtime.setup), artifacts, bar.update)
        beside = reference if isinstance(reference, Path) else None
        wait, protocol = device_lock_wait(timing, reporter), measurement_protocol(timing, 0)
        result = time_files(files, runtime, protocol, reference=beside, progress=bar.update, queue=wait)
    for number, why in result.failed.items():
        reporter.info(f"{tier}: {points[number].name} keeps its predicted latency: {why}")
    usual_ns = reference_ns(table_of(config, run.paths.table(name)).rows.values())
    times = drift_corrected_ms(list(result.measured.values()), usual_ns)
    latency = run.objectives.latency(tier)
    return {points[index].candidate.key: {latency: ms} for index, ms in zip(result.measured, times, strict=True)}
