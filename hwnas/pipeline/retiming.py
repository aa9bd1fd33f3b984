"""Timing the networks of a front again, each as a whole file, and ranking them by what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.config import EnergyConfig
from hwnas.errors import SensorError, TableError
from hwnas.latency.drift import reference_ns, steady_ms
from hwnas.latency.table import LatencyTable, check_key, read_table
from hwnas.network import Network
from hwnas.pareto import Tier
from hwnas.pipeline.narrate import Narrator
from hwnas.pipeline.timing import fill, fill_others, runtime_of, table_of
from hwnas.pipeline.workspace import Run
from hwnas.search.fronts import FrontPoint, remeasured


def timed_again(run: Run, front: Sequence[FrontPoint], tier: Tier, narrator: Narrator) -> list[FrontPoint]:
    """The front with what its tier's device gives, ranked again; `tier` is as it is once measured.

    Times are those of the machine's state in which the set-up's table was made, as predictions are. Published latencies
    stay as they are, and what a live tier timed is not timed again.
    """
    name, latency = tier.name, tier.objectives[1].metric
    setup = run.experiment.tiers[name].setup
    if run.is_published(name):
        return remeasured(front, tier, {})
    if run.is_live(name):
        timed = {point.architecture.key: {latency: point.scores[latency]} for point in front}
        return remeasured(front, tier, timed)
    config = run.experiment.setups[setup]
    networks = [run.network(point.architecture) for point in front]
    table = fill(
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
    found = [table.checks[check_key(network)] for network in networks]
    table = _measure_others(run, setup, table, networks, narrator, f"the {name} front")
    measured = {
        point.architecture.key: {latency: ms, **_others(table, network, setup)}
        for point, network, ms in zip(front, networks, steady_ms(found, usual_ns), strict=True)
    }
    return remeasured(front, tier, measured)


def _measure_others(
    run: Run, setup: str, table: LatencyTable, networks: list[Network], narrator: Narrator, title: str
) -> LatencyTable:
    """Energy and memory of a front's networks, as far as a tier asks for them; where no sensor can, that is said."""
    config, timing = run.experiment.setups[setup], run.experiment.timing
    energy = (config.energy or EnergyConfig()) if run.asked(setup, "energy_mj") else None
    also = config.model_copy(update={"energy": energy, "memory": run.asked(setup, "peak_mb")})
    if not (also.energy or also.memory):
        return table
    artifacts, doing = run.folder / "artifacts", f"measuring {title}"
    try:
        if config.host:
            return fill(also, table.path, timing, artifacts, narrator, doing, [], networks, also=True)
        fill_others(
            table, runtime_of(config), timing, artifacts / config.runtime, narrator, doing, [], networks, also
        )  # fmt: skip
    except (SensorError, TableError) as error:
        narrator.say(f"{title} keeps predicted energies and memory where they could not be measured: {error.met}")
    return read_table(table.path)


def _others(table: LatencyTable, network: Network, setup: str) -> dict[str, float]:
    """What was measured of a network beside its time."""
    key = check_key(network)
    found = {f"energy_mj@{setup}": table.energy[key].median_mj} if key in table.energy else {}
    return found | ({f"peak_mb@{setup}": table.memory[key].peak_mb} if key in table.memory else {})
