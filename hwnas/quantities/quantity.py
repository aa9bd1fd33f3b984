"""A quantity: a number of a network, its unit, its direction, and how it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hwnas.quantities.metric import Metric

Goal = Literal["min", "max"]
Use = Literal["objective", "limit"]
OfNetwork = Callable[[Any], float]
"""From a `Network`."""


@dataclass(frozen=True)
class OverOperators:
    """A quantity that follows from the costs of a network's operators, so that it is known of millions at once."""

    cost: Literal["params", "macs", "activation_bytes"]
    by: Literal["sum", "max"] = "sum"
    per: int = 1
    """Number of the cost's units in one of the quantity's."""

    def of_network(self, network: Any) -> float:
        """Return the quantity of a `Network`."""
        values: list[int] = [getattr(part, self.cost) for part in network.costs]
        return (sum(values) if self.by == "sum" else max(values)) / self.per


@dataclass(frozen=True)
class Measured:
    """A measurement of a network on its device, beside time."""

    job: str
    """Name of the worker's task, in `hwnas.measure.worker.JOBS`."""
    rows: str
    """Attribute of a `LatencyTable` that holds the measurements by key."""
    value: str
    """Attribute of a measurement."""

    def value_in(self, table: Any, key: Any) -> float | None:
        """Return the value that a table holds under a key; None if it holds none."""
        rows = getattr(table, self.rows)
        return float(getattr(rows[key], self.value)) if key in rows else None


@dataclass(frozen=True)
class Quantity:
    """A number of a network: of accuracy, of cost, of size.

    A cost says how it is known by one of `over_operators`, `of_network`, `of_setup` and `model`. A quantity without any
    of these is a quality: a source of accuracy scores it.

    Example:
        >>> DEPTH = Quantity("depth", "Depth", "min", "", of_network=lambda network: len(network.operators))
        >>> str(DEPTH.metric("pi4"))
        'depth'
    """

    name: str
    """Its name in experiments and, before the `@`, in metrics: `latency_ms`, `top1`."""
    label: str
    """Its name for people: `Latency`, `Top-1 accuracy`."""
    goal: Goal
    unit: str
    """Unit that values are kept in and shown with: `ms`, `mJ`, `MB`, `KiB`, `MACs`; `fraction` is shown in percent,
    `count` as `1.20 M`; empty for a plain number or score."""
    uses: tuple[Use, ...] = ("objective", "limit")
    """Places of a tier where it may be named. The quality of a run's accuracies is an objective without being named."""
    positive: bool = False
    """True if a limit at 0 or below is a mistake."""
    routine: bool = False
    """True if all networks are scored with it, named or not."""
    over_operators: OverOperators | None = None
    of_network: OfNetwork | None = None
    """From a `Network`."""
    of_setup: Callable[[Any, Any], float] | None = None
    """From a `Network` and a `Setup`."""
    model: str | Callable[..., OfNetwork | None] | None = None
    """Function, or "module:function", of a `LatencyTable` and the keywords missing, bench and operators; it returns a
    function of a `Network`, or None where the table holds nothing that it could be predicted from."""
    many: Callable[[Any, Any], Any] | None = None
    """From a `Codebook` and (networks, choices) codes to (networks,) values, beside `of_network`; without it, networks
    are scored one by one."""
    measured: Measured | None = None
    """Measurement on a front's networks once they are found; None if there is none beside time."""

    @property
    def is_derived(self) -> bool:
        """True if it follows from the network, or from network and set-up, without a table."""
        return any(way is not None for way in (self.over_operators, self.of_network, self.of_setup))

    @property
    def by_setup(self) -> bool:
        """True if it is another one on another set-up."""
        return self.of_setup is not None or self.model is not None

    @property
    def is_quality(self) -> bool:
        """True if a source of accuracy scores it."""
        return not self.is_derived and self.model is None

    def metric(self, setup: str, quantile: float | None = None) -> Metric:
        """Return the metric of its values for a set-up."""
        return Metric(self.name, setup if self.by_setup else "", quantile)

    def derive(self, network: Any, setup: Any) -> float:
        """Return the value of a `Network` on a `Setup`, of a quantity that is derived."""
        if self.over_operators is not None:
            return self.over_operators.of_network(network)
        if self.of_network is not None:
            return self.of_network(network)
        assert self.of_setup is not None
        return self.of_setup(network, setup)
