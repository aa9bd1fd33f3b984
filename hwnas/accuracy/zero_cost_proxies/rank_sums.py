"""Scores that stand in no network but in a population: sums of its ranks over several proxies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwnas.accuracy.zero_cost_proxies.ensembles import EnsembleMember, RankEnsemble
from hwnas.errors import ConfigError

Floats = NDArray[np.float64]


def rank_sums(ensemble: RankEnsemble, columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return a score for each network of a population, from the members' scores, a column each.

    Equal scores share the mean of their ranks. A network that any member has no score for has none here, and is left
    out of the ranks.

    >>> from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
    >>> rank_sums(ENSEMBLES["te_nas"], [[1, 5, 5, 6, None], [7, 8, 8, 9, 9]])
    [0.5, 1.25, 1.25, 2.0, None]
    """
    table = _table(ensemble, columns)
    known = np.isfinite(table).all(axis=0)
    sums = np.full(table.shape[1], math.nan)
    sums[known] = sum(
        _weighed(ensemble, member, _ranks(column[known]) / known.sum())
        for member, column in zip(ensemble.members, table, strict=True)
    )
    return [None if math.isnan(value) else value for value in sums.tolist()]


def against(ensemble: RankEnsemble, reference: Sequence[Sequence[float]], scores: Sequence[float]) -> float:
    """Return the score of one more network: its ranks among the networks of a reference and itself.

    Args:
        ensemble: the one whose members gave the scores.
        reference: the members' scores of the reference's networks, a column each, all finite.
        scores: the members' scores of the network.
    """
    total = 0.0
    for member, column, score in zip(ensemble.members, reference, scores, strict=True):
        below, equal = (int(test) for test in (np.less(column, score).sum(), np.equal(column, score).sum()))
        total += float(_weighed(ensemble, member, np.array((below + 1 + equal / 2) / (len(column) + 1))))
    return total


def _weighed(ensemble: RankEnsemble, member: EnsembleMember, ranks: Floats) -> Floats:
    """Return the summand of a member's ranks, which are shares of the number of networks."""
    return member.weight * (np.log(ranks) if ensemble.log else ranks)


def _table(ensemble: RankEnsemble, columns: Sequence[Sequence[float | None]]) -> Floats:
    if len(columns) != len(ensemble.members) or len({len(column) for column in columns}) != 1:
        raise ConfigError(
            f"{len(columns)} columns of {sorted({len(column) for column in columns})} scores",
            where="ensemble of training-free proxies",
            allowed=f"A column for each of {len(ensemble.members)} members, all of one length",
            do="Score all networks with all members",
        )
    return np.array(
        [[math.nan if score is None else score for score in column] for column in columns], dtype=np.float64
    )


def _ranks(column: Floats) -> Floats:
    """Return the ranks, from 1 for the smallest; ties share their mean."""
    _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    shared: Floats = upper - (counts - 1) / 2
    return shared[places]
