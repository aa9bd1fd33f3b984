"""Timing the networks of a front again, each as a whole file, and ranking them by what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwnas.errors import SensorError, TableError
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.energy.meter import EnergyProtocol
from hwnas.measure.table import LatencyTable, check_key, read_table
from hwnas.network import Network
from hwnas.pareto import Tier
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.problem.precision.mixed_timing import time_mixed
from hwnas.search.fronts import FrontPoint, label_picks, rerank_measured
from hwnas.search.precision.assignment import is_mixed
from hwnas.workspace.measuring.remote_bench import BenchRequest
from hwnas.workspace.measuring.setups import (
    bench_request,
    context_of,
    measure_missing,
    measure_other_quantities,
    measurement_protocol,
    table_of,
)
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace


def remeasure_front(run: Workspace, front: Sequence[FrontPoint], tier: Tier, reporter: Reporter) -> list[FrontPoint]:
    """Return the front with the measurements of its tier's device, ranked again; `tier` is as it is once measured.

    Times are those of the machine's state in which the set-up's table was made, as predictions are. Published latencies
    stay as they are, and what a live tier timed is not timed again.
    """
    name, latency = tier.name, run.objectives.latency(tier.name)
    if run.objectives.is_published(name):
        return rerank_measured(front, tier, {})
    if run.objectives.is_live(name):
        timed = {point.candidate.key: {latency: point.scores[latency]} for point in front}
        return rerank_measured(front, tier, timed)
    measured = time_mixed(run, name, [point for point in front if is_mixed(point.precision)], reporter)
    for runs_on, points in _by_setup(run, name, front).items():
        measured |= _timed(run, runs_on, points, name, reporter)
    return rerank_measured(front, tier, measured)


def _by_setup(run: Workspace, tier: str, front: Sequence[FrontPoint]) -> dict[str, list[FrontPoint]]:
    """Return the networks of a front by the set-up that they run on."""
    if run.experiment.tiers[tier].precisions is None:
        return {run.experiment.tiers[tier].setup: list(front)}
    groups: dict[str, list[FrontPoint]] = {}
    for point in front:
        if is_mixed(point.precision):  # they are timed on their own
            continue
        groups.setdefault(setup_of_point(run, tier, point), []).append(point)
    return groups


def _timed(
    run: Workspace, setup: str, front: Sequence[FrontPoint], tier: str, reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Measure networks on a set-up; return their numbers by candidate and metric of the tier."""
    config, own = run.experiment.setups[setup], run.experiment.tiers[tier].setup
    name = tier if setup == own else f"{tier} {config.precision}"
    networks = [run.network(point.architecture) for point in front]
    timing, artifacts = run.experiment.timing, run.folder / "artifacts"
    request = bench_request(config, run.paths.front_table(setup), [], networks, wait_s=timing.device_lock_timeout_s)
    only_times = replace(request, energy=None, memory=False)
    protocol = measurement_protocol(timing, 0)
    table = measure_missing(only_times, protocol, artifacts, reporter, f"timing the {name} front")
    usual_ns = reference_ns(table_of(config, run.paths.table(setup)).rows.values())
    checks = [table.checks[check_key(network)] for network in networks]
    table = _measure_others(run, setup, request, reporter, f"the {name} front")
    return {
        point.candidate.key: {run.objectives.latency(tier): ms, **_others(run, table, network, own)}
        for point, network, ms in zip(front, networks, drift_corrected_ms(checks, usual_ns), strict=True)
    }


def timed_before(run: Workspace, front: Sequence[FrontPoint], tier: Tier) -> list[FrontPoint]:
    """Return the front with earlier measurements of its tier's device on the same set-up; nothing is timed now.

    Ranked again if all of it was timed. If only some was, a network leaves it by a limit that its own numbers break.
    """
    name, latency = tier.name, run.objectives.latency(tier.name)
    if run.objectives.is_published(name):
        return rerank_measured(front, tier, {})
    if run.objectives.is_live(name):
        return rerank_measured(front, tier, {point.candidate.key: {latency: point.scores[latency]} for point in front})
    measured: dict[str, dict[str, float]] = {}
    for setup, points in _by_setup(run, name, front).items():
        measured |= _measured(run, setup, points, name)
    if len(measured) == len(front):
        return rerank_measured(front, tier, measured)
    known = [replace(point, measured=measured.get(point.candidate.key, {})) for point in front]
    fell = [bool(point.measured) and bool(tier.broken(point.final)) for point in known]
    return label_picks(
        [replace(point, kept=False if gone else None) for point, gone in zip(known, fell, strict=True)], tier
    )


def _measured(run: Workspace, setup: str, front: Sequence[FrontPoint], tier: str) -> dict[str, dict[str, float]]:
    """Return the numbers that the set-up's table of fronts holds of these networks, by key."""
    path, own = run.paths.front_table(setup), read_table(run.paths.table(setup))
    if not path.is_file() or (table := read_table(path)).setup != own.setup:
        return {}
    latency, metrics_of = run.objectives.latency(tier), run.experiment.tiers[tier].setup
    networks = {point.candidate.key: run.network(point.architecture) for point in front}
    timed = {key: network for key, network in networks.items() if check_key(network) in table.checks}
    checks = [table.checks[check_key(network)] for network in timed.values()]
    times = drift_corrected_ms(checks, reference_ns(own.rows.values()))
    return {
        key: {latency: ms, **_others(run, table, network, metrics_of)}
        for (key, network), ms in zip(timed.items(), times, strict=True)
    }


def _measure_others(run: Workspace, setup: str, request: BenchRequest, reporter: Reporter, title: str) -> LatencyTable:
    """Measure energy and memory of a front's networks as far as a tier asks for them; report where no sensor can."""
    table, timing = read_table(request.path), measurement_protocol(run.experiment.timing, 0)
    jobs = {quantity.measured.job for quantity in run.objectives.quantities(setup) if quantity.measured is not None}
    energy = (request.energy or EnergyProtocol()) if "energy" in jobs else None
    request = replace(request, energy=energy, memory="memory" in jobs)
    if request.energy is None and not request.memory:
        return table
    artifacts, doing = run.folder / "artifacts", f"measuring {title}"
    try:
        if request.config.host:
            return measure_missing(request, timing, artifacts, reporter, doing)
        context = context_of(request, artifacts, reporter)
        measure_other_quantities(table, request, timing, context, reporter, doing)
    except (SensorError, TableError) as error:
        reporter.info(f"{title} keeps predicted energies and memory where they could not be measured: {error.met}")
    return read_table(table.path)


def _others(run: Workspace, table: LatencyTable, network: Network, setup: str) -> dict[str, float]:
    """Return the measurements of a network other than its time."""
    key = check_key(network)
    values = {
        str(one.metric(setup)): one.measured.value_in(table, key)
        for one in run.objectives.quantities(setup)
        if one.measured is not None
    }
    return {metric: value for metric, value in values.items() if value is not None}
