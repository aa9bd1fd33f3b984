"""Training-free scores beside those that NASLib published for the same cells of NAS-Bench-201.

    python benchmarks/nb201_naslib.py [--cells 94] [--proxies synflow snip ...] [--cache FOLDER] [--json]

A definition that is not the published one shows as a low rank correlation with the published scores, whatever the
accuracies are. Images are CIFAR-10's. Weights and images are other ones than NASLib's: two values of `--seed` tell how
much that alone changes ranks. NASLib builds the dead parts of a cell, hwnas does not: cells without any are told apart.

Files are those of `shared/data` (or HWNAS_DATA). With `--cache` what was interrupted goes on where it stopped.

`--json` prints one object: command, date, machine, versions, cells, seed, and results: proxy -> producer, and for
`all`, `no_dead_parts` and `dead_parts` the number of cells, Spearman's correlation of hwnas and NASLib, and that of
each of them with the accuracy.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import ast
import gzip
import json
import random
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.accuracy.zero_cost_proxies.population import score_population
from hwnas.accuracy.zero_cost_proxies.scorer import training_free_scorer
from hwnas.cell import live
from hwnas.console import Terminal
from hwnas.data import load_data
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pipeline import open_space
from hwnas.ranks import correlation
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture
from hwnas.workspace.environment import machine, versions

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).parents[2] / "shared/data"))
OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""As NASLib numbers them, on the edges 1-0, 2-0, 3-0, 2-1, 3-1, 3-2."""
THEIRS = {
    "params": "params", "macs": "flops", "l2_norm": "l2_norm", "grad_norm": "grad_norm", "snip": "snip",
    "grasp": "grasp", "fisher": "fisher", "synflow": "synflow", "naswot": "nwot", "jacob_cov": "jacov",
}  # fmt: skip
"""hwnas's names of the proxies, and NASLib's."""


@dataclass(frozen=True)
class Cell:
    """A cell as NASLib scored it."""

    architecture: Architecture
    whole: bool
    """Whether all of its edges live."""
    scores: dict[str, Any]


def read_cells(count: int) -> list[Cell]:
    """Random cells, always the same ones."""
    with gzip.open(DATA / "accuracy" / "naslib_zero_cost_nb201_cifar10.json.gz") as opened:
        published = json.load(opened)
    keys = sorted(published)
    random.Random(0).shuffle(keys)
    space, _ = open_space("nas_bench_201")
    found = []
    for key in keys[:count]:
        first, second, third, across, past, last = (OPERATIONS[number] for number in ast.literal_eval(key))
        cell = (first, second, across, third, past, last)
        text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*cell)
        found.append(Cell(read_architecture(space, text, where=key), live(cell) == cell, published[key]))
    return found


def agreement(cells: Sequence[Cell], ours: Sequence[float | None], name: str) -> dict[str, Any]:
    """Of the cells that both score."""
    rows = [
        (score, cell.scores[THEIRS[name]]["score"], cell.scores["val_accuracy"])
        for cell, score in zip(cells, ours, strict=True)
        if score is not None and THEIRS[name] in cell.scores
    ]
    mine, theirs, accuracy = ([row[place] for row in rows] for place in range(3))
    pairs = {"hwnas_naslib": (mine, theirs), "hwnas_accuracy": (mine, accuracy), "naslib_accuracy": (theirs, accuracy)}
    return {"cells": len(rows), **{pair: correlation("spearman", *columns) for pair, columns in pairs.items()}}


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Score what is not in the cache, and compare."""
    cells, (space, _) = read_cells(asked.cells), open_space("nas_bench_201")
    data = load_data({"name": "cifar10", "path": str(DATA / "cifar10_jpeg.npz")}, seed=asked.seed).without_test()
    scorers = [training_free_scorer(name, partial(lower, space), data, seed=asked.seed) for name in asked.proxies]
    store = ScoreStore.open(folder / "nb201_naslib.jsonl")
    with Terminal().bar("scoring cells") as bar:
        columns = score_population([cell.architecture for cell in cells], scorers, store, progress=bar.update)
    results = {}
    for scorer, column in zip(scorers, columns, strict=True):
        rows = [(cell, score.value) for cell, score in zip(cells, column, strict=True)]
        parts = {
            "all": rows,
            "no_dead_parts": [row for row in rows if row[0].whole],
            "dead_parts": [row for row in rows if not row[0].whole],
        }
        results[scorer.name] = {"producer": scorer.producer} | {
            part: agreement([cell for cell, _ in some], [value for _, value in some], scorer.name)
            for part, some in parts.items()
        }
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "cells": len(cells),
        "seed": asked.seed,
        "results": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=94)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--proxies", nargs="+", choices=THEIRS, default=list(THEIRS))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if asked.cache is not None:
            asked.cache.mkdir(parents=True, exist_ok=True)
        found = run(asked, asked.cache or Path(scratch))
    if asked.json:
        print(json.dumps(found, indent=1, allow_nan=False))
        return
    print(
        f"{'proxy':<10} {'all':>7} {'no dead':>8} {'dead':>7}   Spearman with NASLib's scores, {found['cells']} cells"
    )
    for name, parts in found["results"].items():
        values = [parts[part]["hwnas_naslib"] for part in ("all", "no_dead_parts", "dead_parts")]
        print(f"{name:<10} {values[0]:7.3f} {values[1]:8.3f} {values[2]:7.3f}")


if __name__ == "__main__":
    main()
