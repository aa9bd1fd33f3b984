"""The first networks: spread over what is known of all, before anything is learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwnas.search.surrogate.candidates import CandidatePool, Floats, Table

TRIED = 32
"""Networks drawn from a stratum, of which the one least like those before is taken."""


def stratified(
    costs: Floats, pool: CandidatePool, free: NDArray[np.bool_], before: Table, strata: int, rng: np.random.Generator
) -> int:
    """Return the next network of a design: of its turn's stratum of known cost, the least like those before.

    Args:
        costs: (networks,) the costs by which the pool is cut into strata of equally many networks.
        free: (networks,) true if it may be taken; at least one must be.
        before: (rows, columns) features of those before; their number decides the stratum.
    """
    order = np.argsort(costs, kind="stable")
    order = order[free[order]]
    stratum = _spread(len(before), strata)
    low, high = len(order) * stratum // strata, len(order) * (stratum + 1) // strata
    open_ = order[low : max(high, low + 1)]
    tried = rng.choice(open_, size=min(TRIED, len(open_)), replace=False)
    if not len(before):
        return int(tried[0])
    features = pool.features[pool.row[tried]]
    apart = np.square(features[:, None] - before[None]).sum(axis=2).min(axis=1)
    return int(tried[int(np.argmax(apart))])


def _spread(turn: int, strata: int) -> int:
    """Return the stratum of a turn: all of them in `strata` turns, halving the largest gaps first."""
    bits = max(strata - 1, 1).bit_length()
    reversed_ = (int(format(n, f"0{bits}b")[::-1], 2) for n in range(2**bits))
    return [stratum for stratum in reversed_ if stratum < strata][turn % strata]
