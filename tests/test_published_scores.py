"""Scores of untrained networks beside those that NASLib published for the same cells of NAS-Bench-201."""

from __future__ import annotations

import ast
import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hwnas.accuracy.zero_cost_proxies.scorer import training_free_scorer
from hwnas.cell import live
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pipeline import open_space
from hwnas.ranks import correlation
from hwnas.space import Architecture

OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""As NASLib numbers them, on the edges 1-0, 2-0, 3-0, 2-1, 3-1, 3-2."""
CELLS = 20


@pytest.fixture(scope="module")
def published(shared_data: Path) -> list[tuple[Architecture, dict[str, Any]]]:
    """Some cells that have all scores and no dead part: NASLib builds dead parts, hwnas does not."""
    file = shared_data / "accuracy" / "naslib_zero_cost_nb201_cifar10.json.gz"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    with gzip.open(file) as opened:
        scores = json.load(opened)
    space, _ = open_space("nas_bench_201")
    found = []
    for key in sorted(scores):
        first, second, third, across, past, last = (OPERATIONS[number] for number in ast.literal_eval(key))
        cell = (first, second, across, third, past, last)
        if live(cell) == cell and {"params", "synflow", "snip", "grad_norm"} <= scores[key].keys():
            text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*cell)
            found.append((read_architecture(space, text, where=key), scores[key]))
    return found[:: len(found) // CELLS][:CELLS]


@pytest.mark.parametrize(
    ("name", "least", "conditions"),
    [
        ("params", 1.0, {}),
        ("synflow", 0.99, {}),
        ("grad_norm", 0.95, {"resolution": 16, "batch": 16}),
        ("snip", 0.95, {"resolution": 16, "batch": 16}),
    ],
)
def test_networks_are_ranked_as_naslib_ranks_them(
    published: list[tuple[Architecture, dict[str, Any]]], name: str, least: float, conditions: dict[str, int]
) -> None:
    """With other weights, and for two of them noise in place of images, a quarter as large."""
    space, _ = open_space("nas_bench_201")
    scorer = training_free_scorer(name, partial(lower, space), None, seed=0, **conditions)
    ours = [scorer(architecture) for architecture, _ in published]
    theirs = [scores[name]["score"] for _, scores in published]
    agreement = correlation("spearman", ours, theirs)
    assert agreement is not None
    assert agreement >= least - 1e-9
