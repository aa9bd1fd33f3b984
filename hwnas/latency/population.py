"""Latencies of whole populations: what `LatencyModel` predicts for one network, for many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import TableError
from hwnas.latency.model import INTERVAL, LatencyModel
from hwnas.latency.posterior import Floats, Places
from hwnas.population import EMPTY_SLOT, Codebook, Codes, Link

COUNTING_CHUNK = 2048
"""Networks of which the operators are counted at a time."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """(networks,) latencies with their intervals, and what they rest on: see `Estimate`."""

    ms: Floats
    low_ms: Floats
    high_ms: Floats
    origin: str
    estimated_rows: NDArray[np.intp]


def predict_many_ms(model: LatencyModel, codebook: Codebook, codes: Codes) -> Floats:
    """Return (networks,) the expected latency of each: as `LatencyModel.predict_ms`, millions of times a second.

    Raises:
        TableError: an operator of one of these networks has no row; the message holds the command that adds it.
    """
    codebook.meet(codes)
    try:
        constant_ms, effective_ms = model.linear(codebook.links)
    except TableError:  # rows are missing; these networks may not need them
        occurring = _held(codebook.places(codes))
        effective_ms = np.full(len(codebook.links), np.nan)
        constant_ms, effective_ms[occurring] = model.linear(_links(codebook, occurring))
    ms: Floats = constant_ms + codebook.total(codes, effective_ms)
    model.refuse_senseless(ms)
    return ms


def predict_many(model: LatencyModel, codebook: Codebook, codes: Codes) -> Estimates:
    """Return the latency of each network with its interval: as `LatencyModel.predict`.

    Much dearer than `predict_many_ms`, because the doubts about operators are summed over pairs of them.

    Raises:
        TableError: as `predict_many_ms`.
    """
    ms, places = predict_many_ms(model, codebook, codes), codebook.places(codes)
    low_ms, high_ms = _quantiles_ms(model, codebook, places, *INTERVAL)
    occurring = _held(places)
    estimated = np.zeros(len(codebook.links), dtype=np.intp)
    estimated[occurring] = [model.estimated_rows([link]) for link in _links(codebook, occurring)]
    return Estimates(ms, low_ms, high_ms, model.origin, codebook.total(codes, estimated))


def upper_many_ms(model: LatencyModel, codebook: Codebook, codes: Codes, confidence: float) -> Floats:
    """Return (networks,) what the next timing of each stays below with a probability of `confidence`; dear as
    `predict_many`.

    Raises:
        TableError: as `predict_many_ms`.
    """
    upper_ms: Floats = _quantiles_ms(model, codebook, codebook.places(codes), confidence)[0]
    return upper_ms


def _quantiles_ms(model: LatencyModel, codebook: Codebook, places: Places, *quantiles: float) -> Floats:
    """Return (quantiles, networks) latencies, computed in groups that begin alike: networks at one resolution hold few
    distinct operators."""
    latencies_ms = np.empty((len(quantiles), len(places)))
    order = np.argsort(places[:, 0], kind="stable")
    for start in range(0, len(places), COUNTING_CHUNK):
        group = order[start : start + COUNTING_CHUNK]
        part = places[group]
        occurring = _held(part)
        rows, slots = np.nonzero(part != EMPTY_SLOT)
        cells = rows * len(occurring) + np.searchsorted(occurring, part[rows, slots])
        counts = (
            np.bincount(cells, minlength=len(part) * len(occurring)).reshape(len(part), len(occurring)).astype(float)
        )
        terms = model.terms(_links(codebook, occurring))
        latencies_ms[:, group] = [terms.quantile_ms(counts, q) for q in quantiles]
    return latencies_ms


def _held(places: Places) -> Places:
    """Return the places that occur, ascending."""
    return np.unique(places[places != EMPTY_SLOT])


def _links(codebook: Codebook, places: Places) -> list[Link]:
    links = codebook.links
    return [links[index] for index in places.tolist()]
