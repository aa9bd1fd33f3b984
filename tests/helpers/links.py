"""Links and chains for tests, and a slow simulation of TCP to compare with."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from hwnas.collaborate.cuts import ChainCosts
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import LinkSeries, Steps
from hwnas.collaborate.links.tcp import HANDSHAKES, INITIAL_WINDOW, PACKET_BYTES, Connection


def constant_link(up: float, down: float, rtt: float, connection: Connection = "idle") -> LinkModel:
    """A link that never varies."""
    return LinkModel("constant", *map(Quantiles.constant, (up, down, rtt)), connection=connection)


def recorded_link(seed: int, seconds: int = 30, outages: bool = True) -> LinkModel:
    """A synthetic link whose rates and round trips change every second, with seconds in which nothing passes."""
    rng = np.random.default_rng(seed)
    starts = np.arange(seconds) * 1e3
    rates = rng.lognormal(1.5, 1.0, seconds) * (rng.random(seconds) > 0.15 * outages)
    rates[0] = 1.0
    up, down = (Steps(starts, rates * share, seconds * 1e3) for share in (0.4, 1.0))
    rtt = Steps(starts, rng.lognormal(3.5, 0.6, seconds), seconds * 1e3)
    usual = Quantiles.constant(1.0)
    return LinkModel("recorded", usual, usual, usual, series=LinkSeries(up, down, rtt))


def slow_finish_ms(steps: Steps, start: float, size: float) -> float:
    """When so many bytes have left, second by second."""
    now, left = start, size
    starts, values = steps.starts_ms.tolist(), steps.values.tolist()
    while left > 1e-9:
        within = now % steps.period_ms
        index = bisect_right(starts, within) - 1
        until = steps.period_ms if index + 1 == len(values) else starts[index + 1]
        rate = values[index] * 125
        if rate * (until - within) >= left:
            return now + left / rate
        left -= rate * (until - within)
        now = math.floor(now / steps.period_ms) * steps.period_ms + until
    return now


def slow_transfer_ms(link: LinkModel, start: float, sent: float, answer: float, server: float) -> float:
    """The time of one request, flight by flight."""

    def leaves(key: str, now: float, size: float) -> float:
        steps = link.series.records.get(key)
        if steps is not None:
            return slow_finish_ms(steps, now, size)
        return now + size / (getattr(link, f"{key}_mbps").p50 * 125)

    def rtt(now: float) -> float:
        steps = link.series.records.get("rtt")
        if steps is None:
            return link.rtt_ms.p50
        return float(steps.values[bisect_right(steps.starts_ms, now % steps.period_ms) - 1])

    def way(key: str, now: float) -> float:
        steps = link.series.records.get("rtt")
        back = rtt(now) / 2 if steps is None else min(steps.values) / 2
        return back if key == "down" else rtt(now) - back

    def arrives(key: str, now: float, size: float) -> float:
        left, window, other, arrived = size, INITIAL_WINDOW * PACKET_BYTES, {"up": "down", "down": "up"}[key], 0.0
        if link.connection == "warm":
            window = 10**12
        while True:
            flight = min(left, window)
            end, first = leaves(key, now, flight), leaves(key, now, min(flight, 3000))
            first += way(key, first)
            arrived = max(arrived, first, end + way(key, end))
            left -= flight
            if left <= 0:
                return arrived
            now, window = max(end, first + way(other, first)), 2 * window

    now = start + (link.promotion_ms if link.connection != "warm" else 0.0)
    for _ in range(HANDSHAKES[link.connection]):
        now += way("up", now)
        now += way("down", now)
    return arrives("down", arrives("up", now, on_wire(sent)) + server, on_wire(answer)) - start


def on_wire(size: float) -> float:
    """Bytes with TLS records and headers."""
    secured = size + 22 * math.ceil(size / 16384)
    return secured + 52 * math.ceil(secured / 1448)


def random_chain(rng: random.Random) -> ChainCosts:
    """Costs of a synthetic chain: the cloud is up to a thousand times faster, boundaries mostly shrink."""
    count, slower = rng.randint(1, 12), 10 ** rng.uniform(-0.5, 3)
    cloud = [10 ** rng.uniform(-2, 1) for _ in range(count)]
    edge = [ms * slower * rng.uniform(0.5, 2) for ms in cloud]
    edge_call, cloud_call = 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(-3, 0)
    heads = [0.0] + [edge_call + sum(edge[:cut]) for cut in range(1, count + 1)]
    tails = [cloud_call + sum(cloud[cut:]) for cut in range(count)] + [0.0]
    elements = [int(10 ** rng.uniform(1, 5.5)) for _ in range(count + 1)]
    return ChainCosts(np.array(heads), np.array(tails), elements)


def brute_force(
    costs: ChainCosts, sizes: list[list[float | None]], way: Callable[[float, float], float]
) -> list[list[float]]:
    """The latency of every cut with every codec, one after the other; `way(bytes, server_ms)` is the link."""
    rows = []
    for cut in range(costs.cuts + 1):
        row = []
        for codec, size in enumerate(sizes[cut]):
            if cut == costs.cuts:
                row.append(float(costs.head_ms[cut]) if codec == 0 else math.inf)
            elif size is None:
                row.append(math.inf)
            else:
                tail = float(costs.tail_ms[cut])
                row.append(float(costs.head_ms[cut]) + way(size, tail) + tail)
        rows.append(row)
    return rows
