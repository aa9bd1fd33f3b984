"""The two tiers of a run that a plan joins: their fronts, and what their networks' parts cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hwnas.collaborate.halves import split_network
from hwnas.errors import ConfigError, RunError, TableError, did_you_mean
from hwnas.latency.energy_model import EnergyModel
from hwnas.latency.model import LatencyModel
from hwnas.network import Network, known_operators
from hwnas.problem.cost_models import cost_model_of_table
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, load_front
from hwnas.quantities import LATENCY
from hwnas.runtimes import Setup
from hwnas.search.fronts import FrontPoint
from hwnas.words import brief
from hwnas.workspace.measuring.setups import declared_setup
from hwnas.workspace.workspace import Workspace


@brief
@dataclass(frozen=True, eq=False)
class Side:
    """One of the two tiers.

    Args:
        run: the run.
        front: the tier's front, under the conditions of the experiment as it is.
        model: latencies of parts of networks; None where only those of whole networks are published.
        energy: energies of parts of networks; None where the table holds none.
        setup: the set-up of the latencies.
    """

    run: Workspace
    front: LoadedFront
    model: LatencyModel | None
    energy: EnergyModel | None
    setup: Setup

    @property
    def tier(self) -> str:
        """Name of the tier."""
        return self.front.tier.name

    @cached_property
    def points(self) -> Mapping[str, FrontPoint]:
        """Networks of the front by key, those left out that measuring struck off."""
        return {point.architecture.key: point for point in self.front.standing}

    @property
    def latency_metric(self) -> str:
        """Metric of the tier's latency."""
        return str(LATENCY.metric(self.run.experiment.tiers[self.tier].setup))

    @property
    def latency_origin(self) -> str:
        """Origin of the latencies of the tier's networks."""
        return "published" if self.model is None else f"predicted from {self.model.origin}"

    def head_mj(self, network: Network, operators: int) -> float | None:
        """Return the energy of the first operators of a network; None if the table does not tell."""
        if not operators:
            return 0.0 if self.energy is not None else None
        if self.energy is None:
            return None
        part = network if operators == len(network.operators) else split_network(network, operators)[0]
        try:
            return self.energy.predict_mj(part)
        except TableError:
            return None


def open_sides(
    run: Workspace, edge: str | None = None, cloud: str | None = None, by: FrontSource | None = None
) -> tuple[Side, Side]:
    """Return the edge's and the cloud's side of a run.

    Raises:
        ConfigError: the tiers are not known, or are one and the same.
        RunError, TableError: there is no front, or it is empty, or there is no table of a set-up.
    """
    edge, cloud = tier_names(list(run.experiment.tiers), edge, cloud)
    sides = side_of(run, load_front(run, edge, by)), side_of(run, load_front(run, cloud, by))
    for side in sides:
        if not side.points:
            raise RunError(
                f"the front of tier `{side.tier}` has no networks",
                where=str(side.front.folder),
                allowed="A plan joins networks of two fronts",
                do="Loosen the tier's limits and search again",
            )
    return sides


def side_of(run: Workspace, front: LoadedFront) -> Side:
    """Return a tier's side with the networks of a front.

    Raises:
        TableError: there is no table of the set-up.
    """
    setup = run.experiment.tiers[front.tier.name].setup
    if not run.objectives.needs_table(setup):
        return Side(run, front, None, None, declared_setup(run.experiment.setups[setup]))
    costs, missing = cost_model_of_table(run, setup), run.experiment.setups[setup].missing
    energy = None
    if any(key in costs.table.energy for key in costs.table.rows):
        energy = EnergyModel.of(costs.table, missing=missing, operators=known_operators(run.space))
    return Side(run, front, costs.model, energy, costs.table.setup)


def tier_names(tiers: list[str], edge: str | None, cloud: str | None) -> tuple[str, str]:
    """Return the names of the two tiers: those that are named, else `edge` and `cloud`, else the only two in order.

    Raises:
        ConfigError: they cannot be told.
    """
    for option, name in (("--edge", edge), ("--cloud", cloud)):
        if name is not None and name not in tiers:
            raise ConfigError(
                f"there is no tier `{name}`",
                where=option,
                allowed=did_you_mean(name, tiers),
                do="Name a tier of the experiment",
            )
    left = [name for name in tiers if name not in (edge, cloud)]
    edge = edge or ("edge" if "edge" in left else None)
    cloud = cloud or ("cloud" if "cloud" in left else None)
    left = [name for name in left if name not in (edge, cloud)]
    if len(left) == (edge, cloud).count(None):
        edge, cloud = (name or left.pop(0) for name in (edge, cloud))
    if edge is None or cloud is None or edge == cloud:
        raise ConfigError(
            "an edge and a cloud cannot be told apart" if len(tiers) > 1 else "the experiment has one tier only",
            where="--edge, --cloud",
            allowed=f"A plan joins two tiers. Here: {', '.join(tiers)}",
            do="Add a tier to the experiment and search it, or name two that there are",
        )
    return edge, cloud
