"""Candidates with precisions as rows of small integers, for samplers that are guided by known costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.population import Codes
from hwnas.search.precision.candidate import PRECISION_GENE
from hwnas.search.surrogate.candidates import Candidates, PerNetwork, Table


def with_precisions(candidates: Candidates, precisions: Sequence[str]) -> Candidates:
    """Return the candidates of networks in each precision: one more column of codes, the last one.

    Features leave it out, so that an evaluation in one precision tells as much of the same network in the others: what
    a precision changes is a difference that all networks share.
    """
    count = len(precisions)

    def draw(networks: int, rng: np.random.Generator) -> Codes:
        return np.hstack([candidates.draw(networks, rng), rng.integers(count, size=(networks, 1))])

    def settle(codes: Codes) -> Codes:
        return np.hstack([candidates.settle(codes[:, :-1]), codes[:, -1:].astype(np.intp)])

    def features(codes: Codes) -> Table:
        return candidates.features(codes[:, :-1])

    return replace(
        candidates,
        names=(*candidates.names, PRECISION_GENE),
        options=(*candidates.options, tuple(precisions)),
        draw=draw,
        settle=settle,
        features=features,
        effect=len(candidates.names),
    )


def by_precision(parts: Sequence[PerNetwork]) -> PerNetwork:
    """Return a function of such codes from a function of networks for each precision, in the order of precisions."""

    def values(codes: Codes) -> NDArray[Any]:
        result = np.full(len(codes), np.nan)
        for number, of_networks in enumerate(parts):
            rows = np.flatnonzero(codes[:, -1] == number)
            if len(rows):
                result[rows] = of_networks(np.ascontiguousarray(codes[rows, :-1]))
        return result

    return values
