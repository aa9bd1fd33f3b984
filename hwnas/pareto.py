"""Objectives, fronts, picks and hypervolume: arithmetic on scores, nothing about networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from hwnas.quantities import LATENCY, Metric
from hwnas.words import brief

Scores = Mapping[str, float]
"""Values by the text of a `Metric`, such as `latency_ms@pi4` or `top1@inherited`."""


@dataclass(frozen=True)
class Objective:
    """A metric to be low or high. Values keep their natural direction; `cost` turns them into minimisation.

    Args:
        metric: text of a `Metric`: a quantity and its origin, such as `latency_ms@pi4` or `top1@inherited`.
        goal: `min` or `max`.

    Example:
        >>> Objective("top1@inherited", "max").cost(0.75)
        -0.75
    """

    metric: str
    goal: Literal["min", "max"]

    def cost(self, value: float) -> float:
        """The value, negated if high is good."""
        return value if self.goal == "min" else -value


@dataclass(frozen=True)
class Limit:
    """A metric that must not exceed (`most`) or fall below (`least`) a bound.

    Args:
        metric: text of a `Metric`, such as `latency_ms@pi4`.
        bound: in the metric's unit.
        side: `most` or `least`.

    Example:
        >>> limit = Limit("latency_ms@pi4", 20)
        >>> str(limit), limit.excess(25)
        ('latency_ms@pi4 <= 20', 5)
    """

    metric: str
    bound: float
    side: Literal["most", "least"] = "most"

    def excess(self, value: float) -> float:
        """Return by how much the value exceeds the limit, in the metric's unit; zero or less when the limit holds."""
        return value - self.bound if self.side == "most" else self.bound - value

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.side == 'most' else '>='} {self.bound:g}"


@brief
@dataclass(frozen=True)
class Tier:
    """A set-up with limits, for which a front is wanted.

    Args:
        name: the tier's name in the experiment.
        objectives: the quality of networks, then their costs.
        limits: all must hold on the front.

    Example:
        >>> objectives = (Objective("top1@inherited", "max"), Objective("latency_ms@pi4", "min"))
        >>> tier = Tier("edge", objectives, (Limit("latency_ms@pi4", 20),))
        >>> tier.broken({"latency_ms@pi4": 25})
        ('latency_ms@pi4 <= 20',)
    """

    name: str
    objectives: tuple[Objective, ...]
    """The quality of networks, then their costs."""
    limits: tuple[Limit, ...] = ()

    @property
    def quality(self) -> Objective:
        """The objective that a source of accuracy scores."""
        return self.objectives[0]

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The other objectives."""
        return self.objectives[1:]

    def cost(self, quantity: str) -> Objective:
        """Return the objective on a quantity other than the quality.

        Raises:
            KeyError: there is none.
        """
        return {Metric.parse(cost.metric).quantity: cost for cost in self.costs}[quantity]

    def excesses(self, scores: Scores) -> dict[str, float]:
        """Excess of each limit whose metric is scored, by the limit's text."""
        return {str(limit): limit.excess(scores[limit.metric]) for limit in self.limits if limit.metric in scores}

    def broken(self, scores: Scores) -> tuple[str, ...]:
        """The limits that the scores break."""
        return tuple(text for text, excess in self.excesses(scores).items() if excess > 0)


def costs_of(rows: Sequence[Scores], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """(rows, objectives) array in which lower is better.

    Raises:
        KeyError: a row lacks an objective.
        ValueError: a value is not finite.
    """
    costs = np.array([[o.cost(row[o.metric]) for o in objectives] for row in rows], dtype=float)
    costs = costs.reshape(len(rows), len(objectives))
    if not np.isfinite(costs).all():
        raise ValueError("a score is not finite; leave the row out and record why")
    return costs


def front(rows: Sequence[Scores], objectives: Sequence[Objective]) -> list[int]:
    """Indices of the rows that no other row beats, in input order; equal rows all stay.

    Args:
        rows: scores by metric, each in its own unit.
        objectives: metrics that count, with their directions.

    Returns:
        Indices into the rows.

    Raises:
        KeyError: a row lacks an objective.
        ValueError: a value is not finite.

    Example:
        >>> front([{"ms": 9, "acc": 0.7}, {"ms": 9, "acc": 0.6}], [Objective("acc", "max")])
        [0]
    """
    if not rows:
        return []
    best = moocore.is_nondominated(costs_of(rows, objectives), keep_weakly=True)
    return [int(i) for i in np.flatnonzero(best)]


def hypervolume(rows: Sequence[Scores], objectives: Sequence[Objective], reference: Scores) -> float:
    """Volume between the front of the rows and the reference point.

    Rows that are worse than the reference in any objective add nothing.

    Args:
        rows: scores by metric, each in its own unit.
        objectives: metrics that count, with their directions.
        reference: a value for each objective.

    Returns:
        The volume, in the product of the objectives' units.

    Raises:
        KeyError: a row or the reference lacks an objective.
        ValueError: a value is not finite.

    Example:
        >>> objectives = [Objective("acc", "max"), Objective("ms", "min")]
        >>> hypervolume([{"ms": 6, "acc": 0.5}], objectives, {"ms": 10, "acc": 0.0})
        2.0
    """
    if not rows:
        return 0.0
    bound = np.array([o.cost(reference[o.metric]) for o in objectives])
    return float(moocore.hypervolume(costs_of(rows, objectives), ref=bound))


def knee(rows: Sequence[Scores], objectives: Sequence[Objective]) -> int:
    """Index of the row farthest below the hyperplane through the front's extremes, after scaling to [0, 1].

    The normal-boundary-intersection knee of Das (1999); with a straight or single-point front, the most central row.
    """
    costs = costs_of(rows, objectives)
    span = np.ptp(costs, axis=0)
    scaled = (costs - costs.min(axis=0)) / np.where(span > 0, span, 1)
    return int(np.lexsort((np.abs(scaled - 0.5).sum(axis=1), scaled.sum(axis=1).round(12)))[0])


def picks(rows: Sequence[Scores], objectives: Sequence[Objective]) -> dict[str, int]:
    """The networks of a front that most users want.

    Args:
        rows: scores by metric of the front's networks.
        objectives: the quality first, then the costs.

    Returns:
        Indices into the rows: `best` by quality, `fastest` by latency, or by the first cost where latency is no
        objective, and `knee`.

    Raises:
        KeyError: a row lacks an objective.
        ValueError: a value is not finite.

    Example:
        >>> rows = [{"ms": 1, "acc": 0.5}, {"ms": 2, "acc": 0.8}, {"ms": 9, "acc": 0.9}]
        >>> picks(rows, [Objective("acc", "max"), Objective("ms", "min")])
        {'fastest': 0, 'best': 2, 'knee': 1}
    """
    costs, quantities = costs_of(rows, objectives), [Metric.parse(one.metric).quantity for one in objectives]
    fast = quantities.index(LATENCY.name) if LATENCY.name in quantities else min(1, len(objectives) - 1)
    quality, cost = costs[:, 0], costs[:, fast]
    return {
        "fastest": int(np.lexsort((quality, cost))[0]),
        "best": int(np.lexsort((cost, quality))[0]),
        "knee": knee(rows, objectives),
    }


def reference_point(rows: Sequence[Scores], objectives: Sequence[Objective]) -> dict[str, float]:
    """A point just worse than every row: each objective's worst value, moved by a tenth of its range."""
    worst = just_beyond(costs_of(rows, objectives))
    return {o.metric: o.cost(float(w)) for o, w in zip(objectives, worst, strict=True)}


def just_beyond(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (objectives,) just more than all rows of costs, each by a tenth of its range."""
    worst: NDArray[np.float64] = costs.max(axis=0) + 0.1 * np.maximum(np.ptp(costs, axis=0), 1e-9)
    return worst


def best(rows: Sequence[Scores], objectives: Sequence[Objective], count: int) -> list[int]:
    """Indices of the `count` best rows: by non-domination rank, within a rank the less crowded first (Deb 2002).

    So no row that is left out dominates one that is taken. Equals stay in input order.
    """
    if not rows:
        return []
    costs = costs_of(rows, objectives)
    ranks = moocore.pareto_rank(costs)
    gaps = np.empty(len(rows))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        gaps[members] = crowding(costs[members])
    order = np.lexsort((np.arange(len(rows)), -gaps, ranks))
    return [int(index) for index in order[:count]]


def crowding(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gaps between each row's neighbours, summed over objectives scaled to 0..1; infinite at the ends.

    Of equal rows one counts; the gap of the others is 0.
    """
    _, first = np.unique(costs, axis=0, return_index=True)
    rows = costs[first]
    gaps = np.zeros(len(rows))
    for column in rows.T:
        order = np.argsort(column, kind="stable")
        span = float(np.ptp(column)) or 1.0
        gaps[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        gaps[order[[0, -1]]] = np.inf
    result = np.zeros(len(costs))
    result[first] = gaps
    return result
