"""One network on two machines: the cost of every head and tail, and every cut with every codec."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.latency.model import INTERVAL, LatencyModel
from hwnas.latency.posterior import Floats, Inferred
from hwnas.network import Network
from hwnas.tasks.ends import elements_of

SPAN_Z = 3.29
"""Standard deviations between the two quantiles of `INTERVAL`, of a normal distribution."""
HEAVIEST_TAIL = 0.5
"""Largest index of a tail that is drawn: beyond it, times have no variance."""


class PartTime(NamedTuple):
    """Time of a part of a network on one set-up, in ms."""

    ms: float
    doubt_ms: float
    """Standard deviation of what the expected time may be: the same for all requests."""
    noise_ms: float
    """Standard deviation of one call around it."""

    def draw_ms(self, doubt: Floats, noise: Floats) -> Floats:
        """Return times from standard normal numbers, one of each kind for each request."""
        times: Floats = np.maximum(self.ms + doubt * self.doubt_ms + noise * self.noise_ms, 0.0)
        return times


@dataclass(frozen=True, eq=False)
class SampledTime:
    """Time of a part as some calls took it, in ms.

    Args:
        samples: one for each call.
        seed: of the distributions that they may come from; another one for each part of a request.

    Example:
        >>> SampledTime(np.array([1.0, 2.0, 6.0])).ms
        3.0
    """

    samples: Floats
    seed: int = 0

    @property
    def ms(self) -> float:
        """Mean time."""
        return float(self.samples.mean())

    @property
    def noise_ms(self) -> float:
        """Standard deviation of one call around it."""
        return float(self.samples.std())

    def draw_ms(self, doubt: Floats, noise: Floats) -> Floats:
        """Return times from standard normal numbers, (worlds, requests) of `noise`.

        Each world has another distribution that the samples may come from: the shares below n samples in order are
        distributed as n uniform numbers in order, whatever the distribution. Beyond the largest sample, which some
        next calls exceed, the times have Weissman's tail by Hill's estimator (1978, 1975), of times above the median.
        """
        from scipy.special import ndtr

        ordered, shape = np.sort(self.samples), np.broadcast_shapes(doubt.shape, noise.shape)
        uniform = np.broadcast_to(ndtr(noise), shape)
        worlds = uniform.reshape(-1, shape[-1])
        rng = np.random.default_rng([self.seed, len(ordered)])
        shares = np.sort(rng.random((len(worlds), len(ordered))), axis=1)
        times = np.stack([np.interp(some, below, ordered) for some, below in zip(worlds, shares, strict=True)])
        median, index, count = _tail(ordered)
        if count:
            indices = np.minimum(index * count / rng.gamma(count, size=(len(worlds), 1)), HEAVIEST_TAIL)
            rarer = np.maximum((1 - shares[:, -1:]) / np.maximum(1 - worlds, 1e-12), 1.0)
            times = np.where(rarer > 1, median + (ordered[-1] - median) * rarer**indices, times)
        drawn: Floats = times.reshape(shape)
        return drawn


def _tail(ordered: Floats) -> tuple[float, float, int]:
    """Return the median, Hill's estimate of the tail's index and the number of calls that it is made of; 0 of them
    where the slowest calls do not differ."""
    median, count = float(np.median(ordered)), math.isqrt(len(ordered))
    beyond = ordered[-count - 1 :] - median
    if count < 2 or len(beyond) <= count or beyond[0] <= 0 or beyond[0] == beyond[-1]:
        return median, 0.0, 0
    return median, float(np.log(beyond[1:] / beyond[0]).mean()), count


NO_TIME = PartTime(0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class ChainCosts:
    """Expected times of all heads and tails of one network, and the sizes of its boundaries.

    Cut k lies after the k-th operator: 0 is the whole network in the cloud, n the whole network on the edge.

    Args:
        head_ms: (n + 1,) the first k operators on the edge; 0 for none of them.
        tail_ms: (n + 1,) the others in the cloud; 0 for none of them.
        elements: (n + 1,) numbers that leave the k-th operator; of cut 0, those of the input.
    """

    head_ms: Floats
    tail_ms: Floats
    elements: Sequence[int]

    @classmethod
    def of(cls, network: Network, edge: LatencyModel, cloud: LatencyModel) -> ChainCosts:
        """Return the costs by two latency models; each part pays its own set-up's overhead of a call.

        Raises:
            TableError: an operator has no row in one of the tables.
        """
        links = list(network.links)
        (edge_ms, head), (cloud_ms, tail) = edge.linear(links), cloud.linear(links)
        heads = np.concatenate([[0.0], edge_ms + np.cumsum(head)])
        tails = np.concatenate([cloud_ms + np.cumsum(tail[::-1])[::-1], [0.0]])
        shapes = [network.input_shape, *(part.output_shape for part in network.costs)]
        return cls(np.maximum(heads, 0.0), np.maximum(tails, 0.0), [elements_of(shape) for shape in shapes])

    @property
    def cuts(self) -> int:
        """Number of operators: cuts are 0 to this number."""
        return len(self.head_ms) - 1


@dataclass(frozen=True, eq=False)
class CutTable:
    """Mean latencies of every cut with every codec over draws of a link.

    Args:
        ms: (cuts, codecs), the mean over the draws; a codec that a cut does not offer has infinity.
    """

    ms: Floats

    @property
    def best(self) -> tuple[int, int]:
        """Cut and codec with the least mean latency; the first of equals."""
        cut, codec = np.unravel_index(int(np.argmin(self.ms)), self.ms.shape)
        return int(cut), int(codec)


def enumerate_cuts(costs: ChainCosts, sent_bytes: Floats, answer_bytes: int, draws: LinkDraws) -> CutTable:
    """Return the mean latency of every cut with every codec, with none left out.

    Args:
        costs: of the network's parts.
        sent_bytes: (cuts + 1, codecs) bytes of a request; infinity where a codec is not offered. Those of the last cut,
            at which nothing is sent, count as offered for the first codec alone.
        answer_bytes: bytes of an answer.
        draws: the link.

    Returns:
        The table, with a row for each cut from 0 to the number of operators.
    """
    offered = np.isfinite(sent_bytes)
    server = np.where(offered, costs.tail_ms[:, None], 0.0)
    size = np.where(offered, sent_bytes, 0.0)
    way = draws.transfer(size[..., None], np.asarray(float(answer_bytes)), server[..., None]).total.mean(axis=-1)
    total = np.where(offered, costs.head_ms[:, None] + way + server, np.inf)
    total[-1] = np.inf
    total[-1, 0] = costs.head_ms[-1]
    return CutTable(total)


def part_time(model: LatencyModel, network: Network, begin: int, end: int) -> PartTime:
    """Return the time of the operators from `begin` to before `end`, with what is not known about it.

    Without whole networks in the table, its rows tell the noise, and the doubt is not known: it is 0.

    Raises:
        TableError: an operator has no row.
    """
    if begin >= end:
        return NO_TIME
    occurrences = Counter(list(network.links)[begin:end])
    counts = np.array([list(occurrences.values())], dtype=float)
    terms = model.terms(list(occurrences))
    ms = max(float(terms.constant_ms + counts[0] @ terms.ms), 0.0)
    if isinstance(terms, Inferred):
        whole = np.concatenate([[1.0], counts[0]])
        known = max(float(whole @ terms.covariance @ whole), 0.0)
        return PartTime(ms, known**0.5, float(terms.noise**0.5 * abs(whole @ terms.expected)))
    low, high = (float(terms.quantile_ms(counts, q)[0]) for q in INTERVAL)
    return PartTime(ms, 0.0, (high - low) / SPAN_Z)
