"""Latency, energy and money of a candidate by Monte Carlo, over the latency models' posteriors and over the link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwnas.collaborate.breakeven import BITS_PER_BYTE_MS
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.tcp import MODEL_ERROR, LinkDraws, Transfer
from hwnas.collaborate.plan import Candidate, Plan, PlanLatency
from hwnas.collaborate.queueing import LOOP_MS, BatchQueue, Queue, most_clients
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.latency.posterior import Floats

WORLDS, REQUESTS = 40, 500
"""Draws of what is not known, and requests in each."""
QUANTILE_LEVELS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
INTERVAL_OF_QUANTILES = 0.05, 0.95
MILLION, HOUR_MS, GB = 1e6, 3.6e6, 1e9


@dataclass(frozen=True)
class Load:
    """Requests of all clients, and the workers of the cloud.

    Args:
        clients: number of edges.
        rate_hz: requests a second of each.
        workers: requests that the cloud serves at the same time.
        p99_ms: limit of which the largest number of clients is asked; None if it is not.
        batch: requests that the cloud serves at once, of its set-up.
        fill_ms: longest wait for others to fill a batch, as `hwnas serve --batch-ms` has it.
        loop_ms: time of the server itself for a request, of which it does one at a time.
    """

    clients: int = 1
    rate_hz: float = 0.0
    workers: int = 1
    p99_ms: float | None = None
    batch: int = 1
    fill_ms: float = 2.0
    loop_ms: float = LOOP_MS

    def queue(self, candidate: Candidate, clients: int | None = None) -> Queue | BatchQueue:
        """Return the cloud's queue under a candidate."""
        rate = (self.clients if clients is None else clients) * self.rate_hz * candidate.escalated
        tail = candidate.tail
        variation = (tail.noise_ms / tail.ms) ** 2 if tail.ms else 0.0
        if self.batch > 1:
            return BatchQueue(rate, tail.ms, variation, self.workers, self.batch, self.fill_ms, self.loop_ms)
        return Queue(rate, tail.ms, variation, self.workers, self.loop_ms)


@dataclass(frozen=True, eq=False)
class Worlds:
    """Random numbers that all candidates share, so that they differ by what they are alone.

    Args:
        link: as (worlds, requests) meet it.
        doubts: (3, worlds, 1) standard normal, of the expected times on the edge, in the cloud and on the way.
        noises: (2, worlds, requests) standard normal, of single calls.
        uniforms: (3, worlds, requests): which requests escalate, which sample they carry, how long they wait.
    """

    link: LinkDraws
    doubts: Floats
    noises: Floats
    uniforms: Floats

    @classmethod
    def drawn(cls, link: LinkModel, seed: int, worlds: int = WORLDS, requests: int = REQUESTS) -> Worlds:
        """Return the numbers of a seed."""
        rng = np.random.default_rng([seed, 1])
        sides, noises = rng.standard_normal((2, worlds, 1)), rng.standard_normal((2, worlds, requests))
        uniforms = rng.random((3, worlds, requests))
        # Numbers of their own, so that worlds of few requests have the doubts of worlds of many.
        way = np.random.default_rng([seed, 2]).standard_normal((1, worlds, 1))
        doubts = np.concatenate([sides, way])
        return cls(link.draws(worlds, requests, seed), doubts, noises, uniforms)


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of a candidate, each array (worlds, requests) in ms."""

    head: Floats
    wait: Floats
    tail: Floats
    way: Transfer
    escalated: Floats
    """True where the cloud answers."""
    encode_ms: float

    @property
    def total(self) -> Floats:
        """Latency of each request."""
        beyond = self.encode_ms + self.way.total + self.wait + self.tail
        return self.head + np.where(self.escalated, beyond, 0.0)

    @property
    def waterfall(self) -> dict[str, float]:
        """Mean time of each step, over all requests."""
        share = self.escalated
        steps = {
            "edge": self.head,
            "encode": share * self.encode_ms,
            "set_up": share * self.way.set_up,
            "up": share * self.way.up,
            "queue": share * self.wait,
            "tail": share * self.tail,
            "down": share * self.way.down,
        }
        return {name: float(np.mean(values)) for name, values in steps.items()}


def mean_ms(candidate: Candidate, draws: LinkDraws) -> Floats:
    """Return a candidate's expected latency in each state of a link, without waiting in a queue."""
    sent, answer = float(candidate.sent_bytes.mean()) + HTTP_BYTES, float(candidate.answer_bytes + HTTP_BYTES)
    way = draws.transfer(np.asarray(sent), np.asarray(answer), candidate.tail.ms).total
    return candidate.head.ms + candidate.escalated * (candidate.encode_ms + way + candidate.tail.ms)


def simulate(candidate: Candidate, worlds: Worlds, queue: Queue | BatchQueue) -> Requests:
    """Return requests of a candidate as the worlds have them."""
    head = candidate.head.draw_ms(worlds.doubts[0], worlds.noises[0])
    shape = head.shape
    if not candidate.uses_cloud:
        nothing = np.zeros(shape)
        none = Transfer(nothing, nothing, nothing)
        return Requests(head, nothing, nothing, none, np.zeros(shape, dtype=bool), 0.0)
    tail = candidate.tail.draw_ms(worlds.doubts[1], worlds.noises[1])
    wait = queue.wait_ms(worlds.uniforms[2])
    sizes = candidate.sent_bytes
    sent = sizes[(worlds.uniforms[1] * len(sizes)).astype(int)] + HTTP_BYTES
    link = replace(worlds.link, start_ms=worlds.link.start_ms + head + candidate.encode_ms)
    way = link.transfer(sent, np.asarray(float(candidate.answer_bytes + HTTP_BYTES)), wait + tail)
    way = way.scaled(np.maximum(1 + MODEL_ERROR[link.connection] * worlds.doubts[2], 0.0))
    escalated = worlds.uniforms[0] < candidate.escalated
    return Requests(head, wait, tail, way, escalated, candidate.encode_ms)


def quantiles_of(requests: Requests) -> PlanLatency:
    """Return the quantiles over all worlds, with the intervals in which those of the requests of single worlds lie.

    Such an interval is predictive: where the same quantile of as many next requests lies, which has their own chance
    in it beside the doubts of a world.
    """
    total, intervals = requests.total, {}
    pooled = {name: float(np.quantile(total, q)) for name, q in QUANTILE_LEVELS.items()}
    for name, each in world_quantiles(requests).items():
        low, high = np.quantile(each, INTERVAL_OF_QUANTILES)
        intervals[name] = (min(float(low), pooled[name]), max(float(high), pooled[name]))
    return PlanLatency(
        **pooled, low=intervals["p50"][0], high=intervals["p50"][1], intervals=intervals, waterfall=requests.waterfall
    )


def world_quantiles(requests: Requests) -> dict[str, Floats]:
    """Return (worlds,) quantiles of the requests of each world, by name.

    Of n requests the k-th stands for the quantile (k - 0.5) / n.
    """
    total = requests.total
    return {name: np.quantile(total, q, axis=1, method="hazen") for name, q in QUANTILE_LEVELS.items()}


def predict(candidate: Candidate, link: LinkModel, worlds: Worlds, load: Load) -> Plan | None:
    """Return a candidate's plan; None if the cloud cannot keep up with its requests."""
    queue = load.queue(candidate)
    if candidate.uses_cloud and queue.load >= 1:
        return None
    requests = simulate(candidate, worlds, queue)
    energy, no_energy = energy_mj(candidate, link)
    money, no_money = money_per_million(candidate, link)
    refused = {"energy_mj": no_energy, "money_per_million": no_money}
    return Plan(
        candidate,
        quantiles_of(requests),
        energy,
        money,
        {name: why for name, why in refused.items() if why},
        clients_within(candidate, requests, worlds, load),
    )


def clients_within(candidate: Candidate, requests: Requests, worlds: Worlds, load: Load) -> int | None:
    """Return the largest number of clients whose requests are answered within the limit, 99 of 100 of them."""
    if load.p99_ms is None or not load.rate_hz or not candidate.uses_cloud:
        return None
    limit, alone = load.p99_ms, requests.total - np.where(requests.escalated, requests.wait, 0.0)

    def holds(clients: int) -> bool:
        queue = load.queue(candidate, clients)
        if queue.load >= 1:
            return False
        waited = np.where(requests.escalated, queue.wait_ms(worlds.uniforms[2]), 0.0)
        return float(np.quantile(alone + waited, QUANTILE_LEVELS["p99"])) <= limit

    return most_clients(holds)


def energy_mj(candidate: Candidate, link: LinkModel) -> tuple[float | None, str]:
    """Return the edge's millijoules for a request, computing and radio, or None and which coefficient is missing.

    The radio counts for the time in which bytes flow, at the link's median rates; waiting is not counted.
    """
    if candidate.head_mj is None:
        return None, "the edge's table holds no energies"
    if not candidate.uses_cloud:
        return candidate.head_mj, ""
    if link.radio is None:
        return None, f"no coefficients of a radio are known for the link `{link.name}`"
    per_request = radio_mj(link, *candidate.wire_bytes)
    return candidate.head_mj + candidate.escalated * per_request, ""


def radio_mj(link: LinkModel, up_bytes: float, down_bytes: float) -> float:
    """Return the millijoules in which the radio sends and receives so many bytes."""
    assert link.radio is not None
    up, down = link.median("up_mbps"), link.median("down_mbps")
    up_ms, down_ms = (BITS_PER_BYTE_MS * size / rate for size, rate in ((up_bytes, up), (down_bytes, down)))
    return float(link.radio.up_mj(up_ms, up) + link.radio.down_mj(down_ms, down))


def money_per_million(candidate: Candidate, link: LinkModel) -> tuple[float | None, str]:
    """Return what a million requests cost, traffic and the cloud's time, or None and which prices are missing."""
    if not candidate.uses_cloud:
        return 0.0, ""
    tariff, (up, down) = link.tariff, candidate.wire_bytes
    amounts: Mapping[str, float] = {
        "gb_up": up / GB,
        "gb_down": down / GB,
        "server_hour": candidate.tail.ms / HOUR_MS,
    }
    if missing := [name for name in amounts if getattr(tariff, name) is None]:
        return None, f"prices are missing: {', '.join(missing)}"
    return MILLION * candidate.escalated * sum(amounts[name] * getattr(tariff, name) for name in amounts), ""
