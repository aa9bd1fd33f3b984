"""Samples of a space's networks, on which limits are judged before a search."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import SpaceError
from hwnas.population import SUMS, Codebook, Codes
from hwnas.problem.population_costs import population_function
from hwnas.quantities import OverOperators
from hwnas.space import AnySpace
from hwnas.workspace.workspace import Workspace

COSTING_TIMEOUT_S = 20.0
"""Seconds that operators are costed for at most; after that, networks with operators not yet costed are left out."""
FIRST_SAMPLE = 1_000
"""Number of networks whose operators are costed first; then twice as many at a time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Distinct networks of a space, and the number of times each was drawn; once each if they are the whole space."""

    codebook: Codebook
    codes: Codes
    times: NDArray[np.intp]
    """Number of times each was drawn; 0 for the smallest and the largest network, unless they were drawn."""
    costs: Mapping[str, Floats]
    """Costs of each network by metric, of limited quantities that are known of many at once."""
    whole: bool
    """True if these are all networks of the space."""

    @classmethod
    def drawn(cls, run: Workspace, count: int, seed: int) -> Sample:
        """Return all networks, if there are no more than `count`; else that many drawn uniformly, and both ends. As
        many of them as could be costed in `COSTING_TIMEOUT_S`."""
        codebook, rng = run.codebook, np.random.default_rng(seed)
        ends = codebook.encode([run.space.smallest(), run.space.largest()])
        whole = _has_at_most(run.space, count)
        drawn = np.concatenate([ends, rng.permutation(codebook.every()) if whole else codebook.draw(count, rng)])
        limited = [one for tier in run.experiment.tiers.values() for one in tier.quantities]
        known = _costed(codebook, drawn, [one.over_operators for one in limited if one.over_operators is not None])
        codes, where = np.unique(drawn[:known], axis=0, return_inverse=True)
        times = np.bincount(where.reshape(-1)[len(ends) :], minlength=len(codes))
        many = {one.name: population_function(codebook, one) for one in limited if not one.by_setup}
        costs = {name: np.asarray(of(codes), np.float64) for name, of in many.items() if of is not None}
        return cls(codebook, codes, times, costs, whole and known == len(drawn))

    def subsample(self, most: int) -> NDArray[np.intp]:
        """Return indices of at most `most` networks: both ends and drawn ones, in an arbitrary order."""
        return np.random.default_rng(0).permutation(len(self.codes))[:most]


def _has_at_most(space: AnySpace, count: int) -> bool:
    try:
        return space.count <= count
    except SpaceError:  # a function with too many to be counted
        return False


def _costed(codebook: Codebook, codes: Codes, limited: Sequence[OverOperators]) -> int:
    """Return the number of networks whose operators are costed in `COSTING_TIMEOUT_S`, as far as limits need that."""
    from hwnas.ops.costs import operator_costs, operator_sums

    if not limited:
        return len(codes)
    cost = operator_sums if all(over.by == "sum" and over.cost in SUMS for over in limited) else operator_costs
    started, known, done, size = time.monotonic(), set[int](), 0, FIRST_SAMPLE
    while done < len(codes) and (done == 0 or time.monotonic() - started < COSTING_TIMEOUT_S):
        used, links = codebook.used(codes[done : done + size]), codebook.links
        for index in used.tolist():
            if index not in known:
                cost(*links[index])
                known.add(index)
        done, size = done + size, 2 * size
    return min(done, len(codes))
