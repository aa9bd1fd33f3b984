"""Timing the networks of a front again, each as a whole file, and ranking them by what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwnas.config import EnergyConfig
from hwnas.errors import SensorError, TableError
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.table import LatencyTable, check_key, read_table
from hwnas.network import Network
from hwnas.pareto import Tier
from hwnas.search.fronts import FrontPoint, label_picks, rerank_measured
from hwnas.workspace.progress import Reporter
from hwnas.workspace.setups import measure_missing, measure_other_quantities, runtime_of, table_of
from hwnas.workspace.workspace import Workspace


def remeasure_front(run: Workspace, front: Sequence[FrontPoint], tier: Tier, narrator: Reporter) -> list[FrontPoint]:
    """Return the front with the measurements of its tier's device, ranked again; `tier` is as it is once measured.

    Times are those of the machine's state in which the set-up's table was made, as predictions are. Published latencies
    stay as they are, and what a live tier timed is not timed again.
    """
    name, latency = tier.name, run.latency(tier.name)
    setup = run.experiment.tiers[name].setup
    if run.is_published(name):
        return rerank_measured(front, tier, {})
    if run.is_live(name):
        timed = {point.architecture.key: {latency: point.scores[latency]} for point in front}
        return rerank_measured(front, tier, timed)
    config = run.experiment.setups[setup]
    networks = [run.network(point.architecture) for point in front]
    table = measure_missing(
        config,
        run.front_table_path(setup),
        run.experiment.timing,
        run.folder / "artifacts",
        narrator,
        f"timing the {name} front",
        [],
        networks,
    )
    usual_ns = reference_ns(table_of(config, run.table_path(setup)).rows.values())
    checks = [table.checks[check_key(network)] for network in networks]
    table = _measure_others(run, setup, table, networks, narrator, f"the {name} front")
    measured = {
        point.architecture.key: {latency: ms, **_others(run, table, network, setup)}
        for point, network, ms in zip(front, networks, drift_corrected_ms(checks, usual_ns), strict=True)
    }
    return rerank_measured(front, tier, measured)


def timed_before(run: Workspace, front: Sequence[FrontPoint], tier: Tier) -> list[FrontPoint]:
    """Return the front with earlier measurements of its tier's device on the same set-up; nothing is timed now.

    Ranked again if all of it was timed. If only some was, a network leaves it by a limit that its own numbers break.
    """
    name, latency = tier.name, run.latency(tier.name)
    setup = run.experiment.tiers[name].setup
    if run.is_published(name):
        return rerank_measured(front, tier, {})
    if run.is_live(name):
        return rerank_measured(
            front, tier, {point.architecture.key: {latency: point.scores[latency]} for point in front}
        )
    measured = _measured(run, setup, front, latency)
    if len(measured) == len(front):
        return rerank_measured(front, tier, measured)
    known = [replace(point, measured=measured.get(point.architecture.key, {})) for point in front]
    fell = [bool(point.measured) and bool(tier.broken(point.final)) for point in known]
    return label_picks([replace(point, kept=False if gone else None) for point, gone in zip(known, fell, strict=True)],
                      tier)  # fmt: skip


def _measured(run: Workspace, setup: str, front: Sequence[FrontPoint], latency: str) -> dict[str, dict[str, float]]:
    """Return the numbers that the set-up's table of fronts holds of these networks, by key."""
    path, own = run.front_table_path(setup), read_table(run.table_path(setup))
    if not path.is_file() or (table := read_table(path)).setup != own.setup:
        return {}
    networks = {point.architecture.key: run.network(point.architecture) for point in front}
    timed = {key: network for key, network in networks.items() if check_key(network) in table.checks}
    checks = [table.checks[check_key(network)] for network in timed.values()]
    times = drift_corrected_ms(checks, reference_ns(own.rows.values()))
    return {key: {latency: ms, **_others(run, table, timed[key], setup)} for key, ms in zip(timed, times, strict=True)}


def _measure_others(
    run: Workspace, setup: str, table: LatencyTable, networks: list[Network], narrator: Reporter, title: str
) -> LatencyTable:
    """Measure energy and memory of a front's networks as far as a tier asks for them; report where no sensor can."""
    config, timing = run.experiment.setups[setup], run.experiment.timing
    jobs = {quantity.measured.job for quantity in run.quantities(setup) if quantity.measured is not None}
    energy = (config.energy or EnergyConfig()) if "energy" in jobs else None
    also = config.model_copy(update={"energy": energy, "memory": "memory" in jobs})
    if not (also.energy or also.memory):
        return table
    artifacts, doing = run.folder / "artifacts", f"measuring {title}"
    try:
        if config.host:
            return measure_missing(also, table.path, timing, artifacts, narrator, doing, [], networks, also=True)
        measure_other_quantities(
            table, runtime_of(config), timing, artifacts / config.runtime, narrator, doing, [], networks, also
        )  # fmt: skip
    except (SensorError, TableError) as error:
        narrator.info(f"{title} keeps predicted energies and memory where they could not be measured: {error.met}")
    return read_table(table.path)


def _others(run: Workspace, table: LatencyTable, network: Network, setup: str) -> dict[str, float]:
    """Return the measurements of a network other than its time."""
    key = check_key(network)
    values = {
        str(one.metric(setup)): one.measured.value_in(table, key)
        for one in run.quantities(setup) if one.measured is not None
    }  # fmt: skip
    return {metric: value for metric, value in values.items() if value is not None}
