"""hwnas's own sampler on a benchmark's table: costs are known of every string, features are those of its network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from nb201_rivals import First, measured_by, nothing_first, untrained_first
from nb201_table import Table
from numpy.typing import NDArray

from hwnas.io.resources import find_file
from hwnas.notation import read_architecture
from hwnas.population import codebook_of
from hwnas.predictors import features_of
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, Candidates, grid
from hwnas.space import read_space

SPACES: Mapping[str, str] = {"nor_conv_3x3": "nas_bench_201", "mbv2_e3_k3": "nas_bench_macro"}
"""The space of a table, by a word that its strings are written with."""


@cache
def candidates_of(
    name: str, names: tuple[str, ...], slots: tuple[str, ...], words: tuple[str, ...], scores: bytes = b""
) -> Candidates:
    """Every string; equal networks have equal features: what hwnas knows of their space, and scores if there are any.

    Args:
        names: all strings, in the order of the product of words.
        scores: numbers for each of them, one string after another.
    """
    options = dict.fromkeys(slots, words)
    space_name = next((SPACES[word] for word in words if word in SPACES), None)
    if space_name is None:
        return grid(options)
    space = read_space(find_file(space_name, "search_spaces"))
    codebook = codebook_of(space)
    given = np.frombuffer(scores).reshape(len(names), -1) if scores else None
    features = features_of(codebook, given)
    told = features(codebook.encode([read_architecture(space, text, where=name) for text in names]), given)
    place_values = len(words) ** np.arange(len(slots))
    return grid(options, (lambda codes: told[codes @ place_values], features.groups))


def guided(table: Table, evaluations: int, seed: int) -> list[int]:
    """`guided` in a study of hwnas, as an experiment runs it."""
    return _search(table, evaluations, seed)


def guided_scores(table: Table, evaluations: int, seed: int) -> list[int]:
    """The same, with training-free scores among its features."""
    return _search(table, evaluations, seed, np.stack(list(table.scores.values()), axis=1))


def guided_start(table: Table, evaluations: int, seed: int) -> list[int]:
    """The same, but its first networks are the best untrained ones; scores are no features."""
    return _search(table, evaluations, seed, first=untrained_first)


def _search(
    table: Table,
    evaluations: int,
    seed: int,
    scores: NDArray[np.float64] | None = None,
    first: First = nothing_first,
) -> list[int]:
    place_values = len(table.words) ** np.arange(len(table.slots))
    order = np.argsort(table.codes @ place_values)
    names, cost, measured = tuple(table.names[row] for row in order), table.cost[order], np.isfinite(table.cost[order])
    told = b"" if scores is None else scores[order].tobytes()
    candidates = candidates_of(table.name, names, table.slots, table.words, told)
    limits = [(lambda codes: ~measured[codes @ place_values], 0)]  # what has no cost is not proposed
    guide = Acquisition(candidates, [lambda codes: cost[codes @ place_values]], limits=limits)
    study = open_study(StudySpec(table.space, table.tier, "guided", seed=seed, first=first(table, seed), guide=guide))
    return measured_by(study, table, evaluations)
