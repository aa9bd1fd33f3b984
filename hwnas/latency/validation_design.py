"""Choice of the whole networks that teach most about the latency of all others.

Bayesian experimental design: the next network is the one after whose timing the predictions of all candidates have the
least mean variance (Chaloner and Verdinelli, Bayesian Experimental Design: A Review, 1995; Cohn, Ghahramani and Jordan,
Active Learning with Statistical Models, 1996). In a Gaussian model that does not depend on what the timing will be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from hwnas.latency.model import infer
from hwnas.latency.posterior import Floats, Inferred, RowCosts, fit
from hwnas.latency.rows import Link, Rows, similarity_key
from hwnas.measure.table import LatencyTable, check_key
from hwnas.network import Network
from hwnas.ops import Operator, Shape

PER_MS = 1e7
"""Multiply-adds, or bytes, that a usual processor core gets through in a millisecond."""
OVERHEAD_SHARE = 0.01
"""A rough guess of the overhead's share in the smallest network."""


def choose_validation_networks(
    candidates: Sequence[Network], count: int, costs_ms: Mapping[Link, float] | None = None
) -> list[Network]:
    """Return the networks to time whole: the smallest, the largest, then those that teach most, best first.

    Each is chosen under the model's prior, given those before it. So the same candidates always give the same networks,
    and fewer of them are the beginning of more. Nothing has to be timed first.

    Args:
        candidates: what to choose from, and what predictions shall be good for: some hundred networks.
        count: how many; all candidates if there are fewer.
        costs_ms: what each operator costs alone; if left out, `rough_cost_ms`.
    """
    if not (pool := _distinct(candidates)):
        return []
    links, counts = _counted(pool)
    ms = np.array([rough_cost_ms(*link) if costs_ms is None else costs_ms[link] for link in links])
    sums, kinds = counts @ ms, [similarity_key(operator.kind, shape) for operator, shape in links]
    alike = np.array([{kind: index for index, kind in enumerate(dict.fromkeys(kinds))}[kind] for kind in kinds])
    known = RowCosts(ms, np.zeros(len(ms)), alike, np.zeros((0, len(ms))))
    prior = fit(OVERHEAD_SHARE * float(sums.min()), known, np.zeros(0)).terms(known)
    ends = list(dict.fromkeys((int(sums.argmin()), int(sums.argmax()))))
    return [pool[index] for index in _most_told(prior, counts, min(count, len(pool)), ends)]


def next_check(table: LatencyTable, candidates: Sequence[Network]) -> Network | None:
    """Return the candidate whose timing would teach most, given all that the table holds; None if all were timed.

    Raises:
        TableError: an operator of a candidate or of a check has no row.
    """
    pool = [network for network in _distinct(candidates) if check_key(network) not in table.checks]
    if not pool:
        return None
    rows = Rows(table, "error", "hwnas bench SPACE")
    links, counts = _counted(pool)
    posterior, check_counts = infer(table, rows)
    terms = posterior.terms(rows.costs(rows.places(links), check_counts))
    return pool[_most_told(terms, counts, 1, [])[0]]


def rough_cost_ms(operator: Operator, shape: Shape) -> float:
    """Estimate roughly what an operator costs: arithmetic and memory traffic one after the other, on a usual core."""
    from hwnas.ops.costs import operator_costs

    costs = operator_costs(operator, shape)
    return (costs.macs + costs.activation_bytes + 4 * costs.params) / PER_MS


def _distinct(networks: Sequence[Network]) -> list[Network]:
    """Return networks of different operators, in order."""
    return list({tuple(network.links): network for network in reversed(networks)}.values())[::-1]


def _counted(networks: Sequence[Network]) -> tuple[list[Link], Floats]:
    """Return the operators of all networks, and (networks, operators) how often each network holds each."""
    per_network = [Counter(network.links) for network in networks]
    links = list(dict.fromkeys(link for one in per_network for link in one))
    return links, np.array([[one[link] for link in links] for one in per_network], dtype=float)


def _most_told(terms: Inferred, counts: Floats, count: int, first: Sequence[int]) -> list[int]:
    """Return the indices of `count` networks: `first`, then greedily those after which the mean relative variance is
    least."""
    whole = np.column_stack([np.ones(len(counts)), counts])
    relative = whole / (whole @ terms.expected)[:, None]
    covariance = relative @ terms.covariance @ relative.T
    chosen: list[int] = []
    while len(chosen) < count:
        variances = covariance.diagonal() + terms.noise
        gains = (covariance**2).mean(axis=0) / variances
        gains[chosen] = -1.0
        index = first[len(chosen)] if len(chosen) < len(first) else int(gains.round(12).argmax())
        covariance = covariance - np.outer(covariance[index], covariance[index]) / variances[index]
        chosen.append(index)
    return chosen
