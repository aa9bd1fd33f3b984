"""States of a planned link that are imposed one after the other, each for one request of every plan."""

from __future__ import annotations

import numpy as np

from hwnas.collaborate.imposed.link import LinkState
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate
from hwnas.latency.posterior import Floats

WITHOUT_DELAY = LinkState(10_000.0, 10_000.0, 0.0)


def link_states(link: LinkModel, count: int, seed: int) -> list[LinkState]:
    """Return states of a link, evenly spread over its distributions and over the time of its records.

    Example:
        >>> from hwnas.collaborate.links.presets import PRESETS
        >>> states = link_states(LinkModel.of_preset("lte", PRESETS["lte"]), 101, 0)
        >>> round(sorted(state.rtt_ms for state in states)[50], 3)
        85.0
    """
    draws = link.quick_draws(seed, count)

    def values(part: object) -> list[float | None]:
        if isinstance(part, ConstantRate):
            return [float(value) for value in np.broadcast_to(part.mbps, count)]
        if isinstance(part, ConstantDelay):
            return [float(value) for value in np.broadcast_to(part.ms, count)]
        return [None] * count

    waits: Floats = np.broadcast_to(draws.held_ms, count) + (draws.promotion_ms if draws.connection != "warm" else 0.0)
    columns = values(draws.up), values(draws.down), values(draws.delay), draws.start_ms, waits
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
