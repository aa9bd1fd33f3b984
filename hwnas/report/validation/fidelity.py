"""Results of `hwnas fidelity`: facts for the terminal, the page and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.quantities import Metric
from hwnas.quantities.quantity import Goal
from hwnas.ranks import INTERVAL_SHARE, Correlation, Kind, as_json, correlations
from hwnas.report import units
from hwnas.report.units import Units
from hwnas.tasks import Task
from hwnas.words import brief, counted

if TYPE_CHECKING:
    from rich.table import Table

CORRELATION_NAMES: Mapping[Kind, str] = {"kendall": "Kendall", "spearman": "Spearman", "pearson": "Pearson"}
FEW_TRAINED = 20
"""With fewer networks, the verdict says that they are few."""
GOOD, FAIR = 0.7, 0.5
"""Kendall's correlation from which ranks can be relied on, and from which they are a guide."""


@brief
@dataclass(frozen=True)
class RankedNetwork:
    """One network, scored as the search scores it and trained alone, in the units of both metrics."""

    key: str
    summary: str
    params: int
    macs: int
    score: float
    alone: float
    seconds: float
    """Of training it alone."""
    score_error: float | None = None
    """Standard errors from the validation samples alone; None where they are not known."""
    alone_error: float | None = None


@dataclass(frozen=True)
class Budget:
    """Settings of a training, and the time that it took."""

    epochs: int
    samples: int
    networks: int
    """Number of networks that a step trains, or that were trained one after the other."""
    seconds: float

    def as_dict(self, samples: str) -> dict[str, Any]:
        """A JSON-ready form, with the word for samples as a key."""
        return {"epochs": self.epochs, samples: self.samples, "networks": self.networks, "seconds": self.seconds}


@brief
@dataclass(frozen=True)
class Fidelity:
    """Quality of a run's scores as a ranking of networks, against the same networks trained alone."""

    run: str
    space: str
    metric: str
    """Metric that was compared with qualities of networks trained alone."""
    goal: Goal
    """Its goal."""
    task: Task
    """Task of the networks, by whose quality those trained alone are judged."""
    data: str
    seed: int
    samples: int
    """Number of validation samples on which both were scored."""
    together: Budget | None
    """Of the shared weights; None where the metric needs none."""
    alone: Budget
    networks: tuple[RankedNetwork, ...]
    failed: Mapping[str, str]
    """Why a network of the sample has no score, by key."""

    @cached_property
    def correlations(self) -> dict[Kind, Correlation | None]:
        """Of the metric with the quality alone; above 0 where better networks have a better metric."""
        return correlations([_signed(self.goal, n.score) for n in self.networks], self._alone)

    @cached_property
    def rivals(self) -> dict[str, dict[Kind, Correlation | None]]:
        """The same for metrics that cost nothing: a metric that ranks no better than these is not worth its price."""
        return {
            "parameters": correlations([float(n.params) for n in self.networks], self._alone),
            "MACs": correlations([float(n.macs) for n in self.networks], self._alone),
        }

    @property
    def units(self) -> Units:
        """Texts of values of the task's metrics and of all quantities."""
        return Units(self.task.metrics)

    @property
    def quality(self) -> str:
        """Name of the metric of networks trained alone."""
        return self.task.quality.name

    @property
    def is_same(self) -> bool:
        """Return whether the metric is, as a quantity, what networks trained alone are judged by."""
        return Metric.parse(self.metric).quantity == self.quality

    @property
    def bias(self) -> float | None:
        """Mean excess (+) of the metric over the quality alone; None where the metric is another quantity."""
        if not self.is_same or not self.networks:
            return None
        return float(np.mean([n.score - n.alone for n in self.networks]))

    @property
    def regret(self) -> float | None:
        """Loss in quality alone by taking the network with the best metric; None without networks."""
        if not self.networks:
            return None
        taken = max(self.networks, key=lambda n: _signed(self.goal, n.score))
        return max(self._alone) - _signed(self.task.quality.goal, taken.alone)

    @property
    def _alone(self) -> list[float]:
        """Qualities alone, negated where low is good."""
        return [_signed(self.task.quality.goal, network.alone) for network in self.networks]

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form; the task's word for samples is in some of the keys."""
        samples = self.task.terms.samples
        return {
            "run": self.run,
            "space": self.space,
            "metric": self.metric,
            "data": self.data,
            "seed": self.seed,
            f"validation_{samples}": self.samples,
            "together": None if self.together is None else self.together.as_dict(samples),
            "alone": self.alone.as_dict(samples),
            "networks": len(self.networks),
            **as_json(self.correlations),
            "interval": INTERVAL_SHARE,
            "rivals": {name: as_json(rival) for name, rival in self.rivals.items()},
            "bias": self.bias,
            "regret": self.regret,
            "failed": dict(self.failed),
            "networks_detail": [asdict(network) for network in self.networks],
        }


def _signed(goal: Goal, value: float) -> float:
    """Return the value, negated where low is good."""
    return value if goal == "max" else -value


def verdict(fidelity: Fidelity) -> list[str]:
    """Explain the figures in plain sentences."""
    lines: list[str] = []
    kendall = fidelity.correlations["kendall"]
    if kendall is None:
        return ["Too few networks were trained, or all reached the same: there is no correlation to tell."]
    trust = "ranks can be relied on" if kendall.value >= GOOD else "ranks are a guide"
    trust = trust if kendall.value >= FAIR else "ranks mean little"
    pairs = 50 * (1 + kendall.value)
    lines.append(
        f"Kendall's correlation is {value(kendall.value)} ({value(kendall.low)} to {value(kendall.high)}): {trust}. "
        f"Of two networks the one with the {'higher' if fidelity.goal == 'max' else 'lower'} "
        f"{fidelity.units.in_sentence(fidelity.metric)} is the better one in about "
        f"{pairs:.0f} of 100 cases."
    )
    beaten = {name: rival["kendall"].value for name, rival in fidelity.rivals.items() if rival["kendall"] is not None}
    better = [f"{name} {value(known)}" for name, known in beaten.items() if known >= kendall.value]
    if better:
        lines.append(f"Costs alone rank these networks as well or better ({', '.join(better)}).")
    if fidelity.bias is not None:
        side = "above" if fidelity.bias > 0 else "below"
        away = fidelity.units.difference(fidelity.metric, abs(fidelity.bias))
        lines.append(f"On average it lies {away} {side} that of the same network trained alone.")
    if fidelity.failed:
        lines.append(f"{counted(len(fidelity.failed), 'network')} could not be trained or scored; the JSON tells why.")
    if len(fidelity.networks) < FEW_TRAINED:
        lines.append(
            f"{counted(len(fidelity.networks), 'network')} are few: "
            f"with {FEW_TRAINED} or more, the intervals are narrower."
        )
    return lines


def value(correlation: float, decimals: int = 3) -> str:
    """`0.712`, with a minus sign where it is negative."""
    return f"{correlation:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def cell(correlation: Correlation | None) -> str:
    """A correlation with its interval."""
    return (
        units.GAP
        if correlation is None
        else f"{value(correlation.value)} ({value(correlation.low, 2)} to {value(correlation.high, 2)})"
    )


def compared(fidelity: Fidelity) -> dict[str, dict[Kind, Correlation | None]]:
    """The metric and its rivals, by the name that they are shown with."""
    return {fidelity.metric: fidelity.correlations, **fidelity.rivals}


def fidelity_table(fidelity: Fidelity) -> Table:
    """Correlations with the quality alone, for a terminal of 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        padding=0,
        title=Text(f"{counted(len(fidelity.networks), 'network')} trained alone"),
        title_justify="left",
    )
    table.add_column("ranked by", no_wrap=True)
    for name in CORRELATION_NAMES.values():
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name, kinds in compared(fidelity).items():
        style = "bold" if name == fidelity.metric else None
        table.add_row(Text(name), *(Text(cell(kinds[kind])) for kind in CORRELATION_NAMES), style=style)
    return table
