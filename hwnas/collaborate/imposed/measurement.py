"""Requests of several plans over one imposed link, interleaved, and their times."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hwnas.collaborate.imposed.link import LinkState
from hwnas.collaborate.imposed.states import NEAR, settled_state
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.predict import INTERVAL_OF_QUANTILES, QUANTILE_LEVELS
from hwnas.latency.posterior import Floats

WARMING = 8
"""Requests before those that are timed: sessions and windows have grown then."""
TIMED_ALONE = 50
"""Requests over a link without delay, by which the machine's own times are told."""
REST_S = 0.045
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
        """Begin to open a new connection."""

    def await_connection(self) -> None:
        """Wait until the connection is open."""

    def close(self) -> None:
        """Close the connection; the next request opens one."""

    def ask(self, sample: int, *, always: bool = False) -> TimedRequest:
        """Answer a sample; `always` asks the cloud, however sure the edge is."""


class SettableLink(Protocol):
    """A link whose state is told."""

    def set_state(self, state: LinkState) -> None:
        """Change to a state."""


@dataclass(frozen=True)
class PlanTimes:
    """Requests of one plan.

    Args:
        alone: over `NEAR`, by which the machine's own times are told; cascades ask the cloud each time.
        over: over the states of the link.
    """

    alone: list[TimedRequest] = field(default_factory=list)
    over: list[TimedRequest] = field(default_factory=list)


class Rounds:
    """Requests of several plans over one link: in a round each plan answers one sample, in an order that is new each
    time.

    Args:
        imposed: the link that is told its states.
        link: that is planned.
        endpoints: of the plans.
        seed: of the orders.
    """

    def __init__(self, imposed: SettableLink, link: LinkModel, endpoints: Sequence[Endpoint], seed: int) -> None:
        self._imposed, self._link, self._endpoints = imposed, link, endpoints
        self._rng = np.random.default_rng(seed)

    def times(self, states: Sequence[LinkState], tell: Callable[[int], None] = lambda done: None) -> list[PlanTimes]:
        """Return the requests of each plan; all plans meet the same states, in an order of their own, and state i with
        sample i.

        Requests by which the machine's own times are told stand among the others, so that both meet the machine alike.
        Over a connection that is kept they come before: it would carry what it learns from one link to the other.
        """
        taken = [PlanTimes() for _ in self._endpoints]
        for number in range(WARMING):
            self._ask(NEAR, number, always=True)
        keeps = self._link.connection == "warm"
        beside = [0] * TIMED_ALONE if keeps else np.linspace(0, len(states) - 1, TIMED_ALONE).round().tolist()
        counts = Counter(map(int, beside))
        if keeps:
            self._note([one.alone for one in taken], NEAR, counts.pop(0), 0)
            for number in range(WARMING):
                self._ask(settled_state(self._link), number, always=True)
        for done, index in enumerate(self._rng.permutation(len(states))):
            self._note([one.alone for one in taken], NEAR, counts[done], done)
            for plan, request in zip(taken, self._ask(states[index], int(index)), strict=True):
                plan.over.append(request)
            tell(done + 1)
        return taken

    def _note(self, lists: Sequence[list[TimedRequest]], state: LinkState, count: int, sample: int) -> None:
        for number in range(count):
            for requests, request in zip(lists, self._ask(state, sample + number, always=True), strict=True):
                requests.append(request)

    def _ask(self, state: LinkState, sample: int, *, always: bool = False) -> list[TimedRequest]:
        """Return a request of each plan, whose connections are in the state that is planned.

        An open connection whose window never grew is as one that rested.
        """
        settled = settled_state(self._link, state)
        if self._link.connection != "warm":
            for endpoint in self._endpoints:
                endpoint.close()
        if self._link.connection == "idle":
            self._imposed.set_state(settled)
            for endpoint in self._endpoints:
                endpoint.connect()
            for endpoint in self._endpoints:
                endpoint.await_connection()
        assert settled.rtt_ms is not None
        time.sleep(2e-3 * settled.rtt_ms)
        answered: dict[int, TimedRequest] = {}
        for index in self._rng.permutation(len(self._endpoints)):
            time.sleep(REST_S)
            self._imposed.set_state(state)
            answered[index] = self._endpoints[index].ask(sample, always=always)
        return [answered[index] for index in range(len(self._endpoints))]


def measured_quantiles(totals: Sequence[float]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return quantiles of some requests, and their 90 % bootstrap intervals.

    Of n requests the k-th stands for the quantile (k - 0.5) / n, as the strata of a link's states do.
    """
    values: Floats = np.asarray(totals, dtype=float)
    fresh = np.random.default_rng(0).choice(values, (BOOTSTRAPS, len(values)))
    quantiles, intervals = {}, {}
    for name, level in QUANTILE_LEVELS.items():
        quantiles[name] = float(np.quantile(values, level, method="hazen"))
        each = np.quantile(fresh, level, axis=1, method="hazen")
        intervals[name] = [float(end) for end in np.quantile(each, INTERVAL_OF_QUANTILES)]
    return quantiles, intervals
