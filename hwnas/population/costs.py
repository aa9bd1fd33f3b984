"""Parameters, MACs and activation bytes of whole populations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.population.codebook import Codebook, Codes


@dataclass(frozen=True)
class PopulationCosts:
    """What `hwnas.costs` says of one network, for many: each array has the shape (networks,)."""

    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    activation_bytes: NDArray[np.int64]


def population_costs(codebook: Codebook, codes: Codes) -> PopulationCosts:
    """Exact costs of each network of a population.

    Args:
        codebook: of the space.
        codes: (networks, choices).
    """
    from hwnas.ops.costs import operator_costs

    codebook.meet(codes)
    parts = [operator_costs(*link) for link in codebook.links]
    sums = codebook.total(codes, np.array([(part.params, part.macs) for part in parts], dtype=np.int64))
    held = codebook.maximum(codes, np.array([part.activation_bytes for part in parts], dtype=np.int64))
    return PopulationCosts(sums[:, 0], sums[:, 1], held)
