"""Parameters, MACs and activation bytes of whole populations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hwnas.population.codebook import Codebook, Codes

Counts: TypeAlias = NDArray[np.int64]
SUMS = ("params", "macs")
"""Columns of `population_sums`."""


@dataclass(frozen=True)
class PopulationCosts:
    """Costs by `hwnas.costs`, for many networks: each array has the shape (networks,)."""

    params: Counts
    macs: Counts
    activation_bytes: Counts


def population_costs(codebook: Codebook, codes: Codes) -> PopulationCosts:
    """Exact costs of each network of a population.

    Only operators that these networks hold are costed. Of a kind with many forms, such as a cell, activations take
    long at first: every form is run for them.

    Args:
        codebook: of the space.
        codes: (networks, choices).
    """
    sums = population_sums(codebook, codes)
    return PopulationCosts(sums[:, 0], sums[:, 1], population_cost(codebook, codes, "activation_bytes", "max"))


def population_sums(codebook: Codebook, codes: Codes) -> Counts:
    """(networks, 2) parameters and MACs: of a kind with many forms, the few parts are costed that they sum up from."""
    from hwnas.ops.costs import operator_sums

    used = codebook.used(codes)
    links, values = codebook.links, np.zeros((len(codebook.links), 2), dtype=np.int64)
    for index in used.tolist():
        values[index] = operator_sums(*links[index])
    sums: Counts = codebook.total(codes, values)
    return sums


def population_cost(codebook: Codebook, codes: Codes, cost: str, by: Literal["sum", "max"]) -> Counts:
    """(networks,) sums, or largest values, of a cost over operators: an attribute of `Costs`."""
    from hwnas.ops.costs import operator_costs

    if by == "sum" and cost in SUMS:
        return population_sums(codebook, codes)[:, SUMS.index(cost)]
    used = codebook.used(codes)
    links, values = codebook.links, np.zeros(len(codebook.links), dtype=np.int64)
    for index in used.tolist():
        values[index] = getattr(operator_costs(*links[index]), cost)
    combine = codebook.total if by == "sum" else codebook.maximum
    combined: Counts = combine(codes, values)
    return combined
