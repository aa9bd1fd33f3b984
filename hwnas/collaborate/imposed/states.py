"""States of a planned link that are imposed one after the other, each for one request of every plan."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.collaborate.imposed.link import LinkState
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.latency.posterior import Floats

NEAR = LinkState(50.0, 50.0, 0.0)
"""A link without delay, at a rate that the process which carries the packets keeps up with: what that process takes for
a packet passes while the next one is on its way, as on slower links."""
STRATUM = 64
"""States of which one is imposed."""
Cost = Callable[[LinkDraws], Floats]


def link_states(link: LinkModel, count: int, seed: int, cost: Cost | None = None) -> list[LinkState]:
    """Return states of a link, evenly spread over its distributions and over the time of its records.

    With a cost, these are a stratified sample: many more states are ordered by their cost, and of each stratum of
    neighbours a random one is taken. Each has the same chance, and rare bad states come as often as they should, where
    a sample without strata has none of them or twice as many.

    Args:
        link: whose states are wanted.
        count: of states.
        seed: of the draws.
        cost: by which states are ordered, such as the expected latency of a request.

    Example:
        >>> from hwnas.collaborate.links.presets import PRESETS
        >>> states = link_states(LinkModel.of_preset("lte", PRESETS["lte"]), 101, 0)
        >>> round(sorted(state.rtt_ms for state in states)[50], 3)
        85.0
    """
    draws = link.quick_draws(seed, count) if cost is None else sampled_draws(link, 1, count, seed, cost)
    return _states_of(link, draws.at(np.arange(count)[None]) if cost is None else draws)


def sampled_draws(link: LinkModel, worlds: int, count: int, seed: int, cost: Cost) -> LinkDraws:
    """Return a link as (worlds, count) requests meet it, each world a stratified sample of its own as `link_states`
    takes one."""
    draws = link.quick_draws(seed, count * STRATUM)
    strata = np.argsort(np.broadcast_to(cost(draws), count * STRATUM), kind="stable").reshape(count, STRATUM)
    chosen = np.random.default_rng(seed).integers(0, STRATUM, (worlds, count))
    return draws.at(strata[np.arange(count), chosen])


def _states_of(link: LinkModel, draws: LinkDraws) -> list[LinkState]:
    """Return the states that the requests of a link's only world meet."""

    def values(part: object) -> list[float | None]:
        if isinstance(part, ConstantRate):
            return [float(value) for value in part.mbps[0]]
        if isinstance(part, ConstantDelay):
            return [float(value) for value in part.ms[0]]
        return [None] * draws.start_ms.size

    waits = draws.held_ms + (draws.promotion_ms if draws.connection != "warm" else 0.0)
    columns = values(draws.up), values(draws.down), values(draws.delay), draws.start_ms[0], np.asarray(waits)[0]
    return [
        LinkState(up, down, rtt, float(start), float(wait), link.loss)
        for up, down, rtt, start, wait in zip(*columns, strict=True)
    ]


def settled_state(link: LinkModel, state: LinkState | None = None) -> LinkState:
    """Return a state without records, outages and losses: the link's medians where another state does not tell."""
    known = state or LinkState(None, None, None)
    return LinkState(
        link.median("up_mbps") if known.up_mbps is None else known.up_mbps,
        link.median("down_mbps") if known.down_mbps is None else known.down_mbps,
        link.median("rtt_ms") if known.rtt_ms is None else known.rtt_ms,
    )
