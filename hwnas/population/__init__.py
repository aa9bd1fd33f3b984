"""Many architectures at once: encoded as rows of small integers, their costs looked up instead of walked."""

from __future__ import annotations

from hwnas.population.codebook import EMPTY_SLOT, Codebook, Codes, Link
from hwnas.population.costs import (
    SUMS,
    population_cost,
    population_costs,
    population_sums,
)
from hwnas.population.functions import FunctionCodebook
from hwnas.population.stages import StageCodebook
from hwnas.space import AnySpace, FunctionSpace

__all__ = [
    "EMPTY_SLOT",
    "SUMS",
    "Codebook",
    "Codes",
    "FunctionCodebook",
    "Link",
    "StageCodebook",
    "codebook_of",
    "population_cost",
    "population_costs",
    "population_sums",
]


def codebook_of(space: AnySpace) -> Codebook:
    """The codebook of a space. It takes as long as `operators_of(space)`: make it once."""
    return FunctionCodebook(space) if isinstance(space, FunctionSpace) else StageCodebook(space)
