"""Choosing from a crowded front: by weights, by one objective after the other, by clusters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, did_you_mean
from hwnas.pareto import Objective, Scores, costs_of, picks
from hwnas.quantities import LATENCY, Metric

STEM = r"best|fastest|knee|(weights|lexicographic|cluster)-.+"
"""Of the files of any rule's network."""
SELECTION_RULES = ("best", "fastest", "knee", "weights", "lexicographic", "cluster")


def _allowed(objectives: Sequence[Objective]) -> str:
    """Return the forms of rules, with a tier's own objectives."""
    names = [Metric.parse(objective.metric).quantity for objective in objectives]
    quality, cost = names[:2] if len(names) > 1 else ("top1", LATENCY.name)
    return (
        f"best, fastest, knee, weights:{quality}=2,{cost}=1, lexicographic:{quality}=0.01,{cost} (an objective may "
        "give up so much for the next one), cluster:5"
    )


def choose(rows: Sequence[Scores], objectives: Sequence[Objective], rule: str) -> list[int]:
    """Indices of the rows that a rule takes from a front, in the front's order for clusters.

    Raises:
        ConfigError: the rule is unknown, or names something other than an objective.
    """
    name, _, rest = rule.partition(":")
    if not rows:
        return []
    if name in ("best", "fastest", "knee") and not rest:
        return [picks(rows, objectives)[name]]
    if name == "weights" and rest:
        return [weighted(rows, objectives, _numbers(rest, objectives, rule))]
    if name == "lexicographic" and rest:
        return [lexicographic(rows, objectives, _numbers(rest, objectives, rule))]
    if name == "cluster" and rest.isdigit() and int(rest):
        return representatives(rows, objectives, int(rest))
    raise ConfigError(
        f"`{rule}` is no rule",
        where="picks",
        allowed=f"{did_you_mean(name, SELECTION_RULES)}. As in: {_allowed(objectives)}",
        do="Write a rule so",
    )


def check_rule(rule: str, objectives: Sequence[Objective], *, where: str) -> None:
    """Raise ConfigError unless this is a rule over these objectives.

    Raises:
        ConfigError: as `choose`.
    """
    try:
        choose([{objective.metric: 0.0 for objective in objectives}], objectives, rule)
    except ConfigError as error:
        raise ConfigError(error.met, where=where, allowed=error.allowed, do=error.do) from None


def file_stem(rule: str, number: int) -> str:
    """Return the stem of the file of a rule's network; clusters give several, numbered from 1.

    >>> file_stem("weights:top1=2,latency_ms=1", 1), file_stem("cluster:3", 2)
    ('weights-top1-2-latency_ms-1', 'cluster-3-2')
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", rule)
    return f"{stem}-{number}" if rule.startswith("cluster:") else stem


def weighted(rows: Sequence[Scores], objectives: Sequence[Objective], weights: Mapping[str, float]) -> int:
    """The row with the least weighted sum of costs, each scaled to 0..1 over the rows; objectives without a weight
    count nothing."""
    scaled = _scaled(rows, objectives)
    shares = np.array([weights.get(objective.metric, 0.0) for objective in objectives])
    return int(np.lexsort((scaled.sum(axis=1), (scaled @ shares).round(12)))[0])


def lexicographic(rows: Sequence[Scores], objectives: Sequence[Objective], slack: Mapping[str, float]) -> int:
    """The best row by one objective after the other, in the order of `slack`: those stay that are worse by at most so
    much than the best of them, in the objective's unit."""
    costs = costs_of(rows, objectives)
    column = {objective.metric: number for number, objective in enumerate(objectives)}
    left = np.arange(len(rows))
    for metric, allowance in slack.items():
        values = costs[left, column[metric]]
        left = left[values <= values.min() + allowance]
    order = [costs[left, column[metric]] for metric in reversed(list(slack))]
    return int(left[np.lexsort(order)[0]])


def representatives(rows: Sequence[Scores], objectives: Sequence[Objective], count: int) -> list[int]:
    """The row nearest to its cluster's mean, of each of `count` clusters (Ward's, over costs scaled to 0..1)."""
    scaled = _scaled(rows, objectives)
    if count >= len(np.unique(scaled, axis=0)):
        return [int(index) for index in np.sort(np.unique(scaled, axis=0, return_index=True)[1])]
    if count == 1:
        return [_nearest(scaled, np.arange(len(rows)))]
    from sklearn.cluster import AgglomerativeClustering

    labels = AgglomerativeClustering(n_clusters=count).fit_predict(scaled)
    return sorted(_nearest(scaled, np.flatnonzero(labels == label)) for label in range(count))


def _nearest(scaled: NDArray[np.float64], members: NDArray[np.intp]) -> int:
    away = ((scaled[members] - scaled[members].mean(axis=0)) ** 2).sum(axis=1)
    return int(members[int(away.argmin())])


def _scaled(rows: Sequence[Scores], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    costs = costs_of(rows, objectives)
    span = np.ptp(costs, axis=0)
    scaled: NDArray[np.float64] = (costs - costs.min(axis=0)) / np.where(span > 0, span, 1)
    return scaled


def _numbers(text: str, objectives: Sequence[Objective], rule: str) -> dict[str, float]:
    """`top1=2,latency_ms=1` by metric; without a number 0."""
    known = {Metric.parse(objective.metric).quantity: objective.metric for objective in objectives}
    numbers = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in known:
            raise ConfigError(
                f"`{name}` is no objective",
                where=f"picks: {rule}",
                allowed=did_you_mean(name, known),
                do="Name objectives of the tier",
            )
        if not re.fullmatch(r"\d*\.?\d*(e[+-]?\d+)?", number):
            raise ConfigError(
                f"`{number}` is no number from 0 on",
                where=f"picks: {rule}",
                allowed=_allowed(objectives),
                do="Correct it",
            )
        numbers[known[name]] = float(number or 0)
    if text and rule.startswith("weights") and not any(numbers.values()):
        raise ConfigError(
            "all weights are 0", where=f"picks: {rule}", allowed=_allowed(objectives), do="Give one above 0"
        )
    return numbers
