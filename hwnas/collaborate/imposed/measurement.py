"""Requests of several plans over one imposed link, interleaved, and their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hwnas.collaborate.imposed.link import LinkState
from hwnas.collaborate.imposed.states import WITHOUT_DELAY, link_states, settled_state
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.predict import INTERVAL_OF_QUANTILES, QUANTILE_LEVELS
from hwnas.latency.posterior import Floats

WARMING = 8
"""Requests before those that are timed: sessions and windows have grown then."""
TIMED_ALONE = 40
"""Requests over a link without delay, by which the machine's own times are told."""
REST_S = 0.06
"""Longer than an acknowledgement is delayed, so that none of an earlier request meets the next one's link."""
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class TimedRequest:
    """One request.

    Args:
        total_ms: from the sample to the answer.
        edge_ms: in the edge's network, and for its confidence.
        encode_ms: for the body of the request.
        service_ms: that the cloud told; 0 where it was not asked.
        escalated: whether the cloud answered.
    """

    total_ms: float
    edge_ms: float
    encode_ms: float = 0.0
    service_ms: float = 0.0
    escalated: bool = False

    @property
    def beyond_ms(self) -> float:
        """All of it beside edge and encoding: the way, both ends of the connection, and the cloud."""
        return self.total_ms - self.edge_ms - self.encode_ms


class Endpoint(Protocol):
    """The edge's side of a plan, in a process of its own."""

    def connect(self) -> None:
        """Open a new connection."""

    def close(self) -> None:
        """Close the connection; the next request opens one."""

    def ask(self, sample: int, *, always: bool = False) -> TimedRequest:
        """Answer a sample; `always` asks the cloud, however sure the edge is."""


class SettableLink(Protocol):
    """A link whose state is told."""

    def set_state(self, state: LinkState) -> None:
        """Change to a state."""


def times_alone(
    imposed: SettableLink, link: LinkModel, endpoints: Sequence[Endpoint], count: int = TIMED_ALONE
) -> list[list[TimedRequest]]:
    """Return requests of each plan over a link without delay, with rests between them as over a slow one; cascades ask
    the cloud each time."""
    imposed.set_state(WITHOUT_DELAY)
    taken: list[list[TimedRequest]] = [[] for _ in endpoints]
    for number in range(WARMING + count):
        for index, endpoint in enumerate(endpoints):
            _prepare(imposed, link, endpoint, WITHOUT_DELAY)
            request = endpoint.ask(number, always=True)
            taken[index] += [request] if number >= WARMING else []
    return taken


def times_over(
    imposed: SettableLink,
    link: LinkModel,
    endpoints: Sequence[Endpoint],
    count: int,
    seed: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[list[TimedRequest]]:
    """Return requests of each plan; all plans meet the same states of the link, in an order that is new each time."""
    rng = np.random.default_rng(seed)
    taken: list[list[TimedRequest]] = [[] for _ in endpoints]
    if link.connection == "warm":
        imposed.set_state(settled_state(link))
        for endpoint in endpoints:
            for number in range(WARMING):
                endpoint.ask(number, always=True)
    for number, state in enumerate(link_states(link, count, seed)):
        for index in rng.permutation(len(endpoints)):
            _prepare(imposed, link, endpoints[index], state)
            taken[index].append(endpoints[index].ask(number))
        tell(number + 1)
    return taken


def _prepare(imposed: SettableLink, link: LinkModel, endpoint: Endpoint, state: LinkState) -> None:
    """Bring the connection and the link into the state that the next request finds.

    An open connection whose window never grew is as one that rested.
    """
    if link.connection != "warm":
        endpoint.close()
    settled = settled_state(link, state)
    if link.connection == "idle":
        imposed.set_state(settled)
        endpoint.connect()
    assert settled.rtt_ms is not None
    time.sleep(max(REST_S, 2e-3 * settled.rtt_ms))
    imposed.set_state(state)


def measured_quantiles(totals: Sequence[float], seed: int = 0) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return quantiles of some requests, and their 90 % bootstrap intervals."""
    values: Floats = np.asarray(totals, dtype=float)
    fresh = np.random.default_rng(seed).choice(values, (BOOTSTRAPS, len(values)))
    quantiles, intervals = {}, {}
    for name, level in QUANTILE_LEVELS.items():
        quantiles[name] = float(np.quantile(values, level))
        intervals[name] = [float(end) for end in np.quantile(np.quantile(fresh, level, axis=1), INTERVAL_OF_QUANTILES)]
    return quantiles, intervals
