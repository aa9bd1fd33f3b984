"""The best cut of every network of a population, by costs of prefixes that are sums over slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.latency.model import LatencyModel
from hwnas.latency.posterior import Floats
from hwnas.population import Codebook
from hwnas.population.codebook import EMPTY_SLOT, Codes, Link
from hwnas.tasks.ends import elements_of


@dataclass(frozen=True, eq=False)
class PopulationCuts:
    """Cuts of many networks; cut s lies after slot s - 1, and an empty slot has the cut before it.

    Args:
        ms: (networks, slots + 1) mean latencies: the first of the whole network in the cloud, the last on the edge.
    """

    ms: Floats

    @property
    def best(self) -> NDArray[np.intp]:
        """(networks,) the cut with the least mean latency, the first of equals."""
        cuts: NDArray[np.intp] = self.ms.argmin(axis=1)
        return cuts


@dataclass(frozen=True)
class CutSetting:
    """How boundaries travel.

    Args:
        element_bytes: of one number of a boundary.
        header_bytes: of a request's body beside the numbers.
        input_bytes: of an input as it is sent.
        answer_bytes: of an answer's body.
    """

    element_bytes: int
    header_bytes: int
    input_bytes: int
    answer_bytes: int


def population_cuts(
    codebook: Codebook, codes: Codes, edge: LatencyModel, cloud: LatencyModel, draws: LinkDraws, setting: CutSetting
) -> PopulationCuts:
    """Return the mean latency of every cut of every network; the link's state is taken not to change while the cloud
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
    elements = np.array([elements_of(operator_costs(*link).output_shape) for link in links])
    carried = _carried(elements, places)
    heads = np.where(carried == 0, 0.0, edge_ms + head)  # 0: no operator comes before the cut
    sizes = np.where(carried == 0, setting.input_bytes, carried * setting.element_bytes + setting.header_bytes)
    unique, inverse = np.unique(sizes, return_inverse=True)
    answer = np.asarray(float(setting.answer_bytes + HTTP_BYTES))
    ways = draws.transfer((unique + HTTP_BYTES)[:, None].astype(float), answer).total.mean(axis=1)
    way = ways[inverse.reshape(sizes.shape)]
    way[:, -1] = 0.0
    return PopulationCuts(np.maximum(heads, 0.0) + way + np.maximum(tails, 0.0))


def _prefix_sums(model: LatencyModel, places: NDArray[np.intp], links: Sequence[Link]) -> tuple[float, Floats]:
    """Return the constant and (networks, slots + 1) sums over the first slots."""
    constant, per_link = model.linear(links)
    per_slot = np.append(per_link, 0.0)[places]
    sums: Floats = np.concatenate([np.zeros((len(places), 1)), np.cumsum(per_slot, axis=1)], axis=1)
    return constant, sums


def _carried(elements: NDArray[np.int64], places: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return (networks, slots + 1) numbers that leave each slot; of an empty one, those that left the one before."""
    columns = [np.zeros(len(places), dtype=np.int64)]
    for slot in range(places.shape[1]):
        here = places[:, slot]
        columns.append(np.where(here == EMPTY_SLOT, columns[-1], np.append(elements, 0)[here]))
    return np.column_stack(columns)
