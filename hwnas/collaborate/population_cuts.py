"""The best cut of every network of a population, by costs of prefixes that are sums over slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.wire import HTTP_BYTES, Shape
from hwnas.latency.model import LatencyModel
from hwnas.latency.posterior import Floats
from hwnas.population import Codebook
from hwnas.population.codebook import EMPTY_SLOT, Codes, Link


@dataclass(frozen=True, eq=False)
class PopulationCuts:
    """Cuts of many networks; cut s lies after slot s - 1, and an empty slot has the cut before it.

    Args:
        ms: (networks, slots + 1) latencies: the first of the whole network in the cloud, the last on the edge.
        operators: (networks, slots + 1) number of operators before each cut.
    """

    ms: Floats
    operators: NDArray[np.intp]

    @property
    def best(self) -> NDArray[np.intp]:
        """(networks,) the cut with the least latency, the first of equals."""
        cuts: NDArray[np.intp] = self.ms.argmin(axis=1)
        return cuts


@dataclass(frozen=True)
class CutSetting:
    """How boundaries travel, and which time of their way counts.

    Args:
        boundary_bytes: returns the bytes of a request's body with a boundary of a shape.
        input_bytes: of a request's body with an input as it is sent.
        answer_bytes: of an answer's body.
        quantile: of the time on the link, 0 to 1; None for its mean.
    """

    boundary_bytes: Callable[[Shape], int]
    input_bytes: int
    answer_bytes: int
    quantile: float | None = None


def population_cuts(
    codebook: Codebook, codes: Codes, edge: LatencyModel, cloud: LatencyModel, draws: LinkDraws, setting: CutSetting
) -> PopulationCuts:
    """Return the latency of every cut of every network; the link's state is taken not to change while the cloud
    computes.

    Args:
        codebook: of the space.
        codes: (networks, choices).
        edge: latencies on the edge.
        cloud: latencies in the cloud.
        draws: the link.
        setting: how boundaries travel.

    Raises:
        TableError: an operator has no row in one of the tables.
    """
    from hwnas.ops.costs import operator_costs

    places = codebook.places(codes)
    links = codebook.links
    sums = [_prefix_sums(model, places, links) for model in (edge, cloud)]
    (edge_ms, head), (cloud_ms, tail) = sums
    tails = cloud_ms + tail[:, -1:] - tail
    tails[:, -1] = 0.0
    operators = np.cumsum(np.column_stack([np.zeros(len(places), np.intp), places != EMPTY_SLOT]), axis=1)
    heads = np.where(operators == 0, 0.0, edge_ms + head)
    bodies = np.array([setting.boundary_bytes(operator_costs(*link).output_shape) for link in links])
    sizes = _carried(bodies, places, setting.input_bytes)
    unique, inverse = np.unique(sizes, return_inverse=True)
    answer = np.asarray(float(setting.answer_bytes + HTTP_BYTES))
    times = draws.transfer((unique + HTTP_BYTES)[:, None].astype(float), answer).total
    ways = times.mean(axis=1) if setting.quantile is None else np.quantile(times, setting.quantile, axis=1)
    way = ways[inverse.reshape(sizes.shape)]
    way[:, -1] = 0.0
    return PopulationCuts(np.maximum(heads, 0.0) + way + np.maximum(tails, 0.0), operators)


def _prefix_sums(model: LatencyModel, places: NDArray[np.intp], links: Sequence[Link]) -> tuple[float, Floats]:
    """Return the constant and (networks, slots + 1) sums over the first slots."""
    constant, per_link = model.linear(links)
    per_slot = np.append(per_link, 0.0)[places]
    sums: Floats = np.concatenate([np.zeros((len(places), 1)), np.cumsum(per_slot, axis=1)], axis=1)
    return constant, sums


def _carried(bodies: NDArray[np.int64], places: NDArray[np.intp], first: int) -> NDArray[np.int64]:
    """Return (networks, slots + 1) bytes that leave each slot; of an empty one, those that left the one before."""
    columns = [np.full(len(places), first, dtype=np.int64)]
    for slot in range(places.shape[1]):
        here = places[:, slot]
        columns.append(np.where(here == EMPTY_SLOT, columns[-1], np.append(bodies, 0)[here]))
    return np.column_stack(columns)
