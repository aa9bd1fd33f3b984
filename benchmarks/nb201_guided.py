"""hwnas's own sampler on a benchmark's table: costs are known of every string, features are those of its network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from nb201_table import Table

from hwnas.notation import read_architecture
from hwnas.population import codebook_of
from hwnas.predictors import features_of
from hwnas.search.guided import Candidates, Guide, grid
from hwnas.search.plan import Plan
from hwnas.search.study import open_study
from hwnas.shipped import find_file
from hwnas.space import read_space

SPACES: Mapping[str, str] = {"nor_conv_3x3": "nas_bench_201", "mbv2_e3_k3": "nas_bench_macro"}
"""The space of a table, by a word that its strings are written with."""


@cache
def candidates_of_table(table: Table, scores: Any = None) -> Candidates:
    """Every string; equal networks have equal features, those that hwnas knows of their space."""
    options = dict.fromkeys(table.slots, table.words)
    name = next((SPACES[word] for word in table.words if word in SPACES), None)
    if name is None:
        return grid(options)
    space = read_space(find_file(name, "search_spaces"))
    codebook = codebook_of(space)
    networks = codebook.encode([read_architecture(space, name, where=table.name) for name in table.names])
    features = features_of(codebook)
    told = features(networks)
    strides = len(table.words) ** np.arange(len(table.slots))
    row = np.empty(len(told), dtype=np.intp)
    row[table.codes @ strides] = np.arange(len(told))
    return grid(options, (lambda codes: told[row[codes @ strides]], features.groups))


def guided(table: Table, evaluations: int, seed: int) -> list[int]:
    """`guided` in a study of hwnas, as an experiment runs it."""
    candidates = candidates_of_table(table)
    strides = len(table.words) ** np.arange(len(table.slots))
    cost = np.empty(len(table.cost))
    cost[table.codes @ strides] = table.cost
    guide = Guide(candidates, [lambda codes: cost[codes @ strides]])
    study = open_study(Plan(table.space, table.tier, "guided", seed=seed, guide=guide))
    study.run(table.evaluate, evaluations)
    return [table.row(evaluation.architecture) for evaluation in study.evaluations]
