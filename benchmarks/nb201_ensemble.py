"""The weights of the default ensemble, chosen on other networks than those that are reported on.

    python benchmarks/nb201_ensemble.py [--most 3] [--cache FOLDER] [--json]

Two spaces: NAS-Bench-201, whose scores are those of `benchmarks/data/nb201_training_free.npz`, and NAS-Bench-Macro, of
which 500 networks are scored (a minute). Held out are, of the first, samples of 1,000 rows without the rows whose
network occurs among the 1,000 of seed 0; of the second, 200 networks beside the 300 of seed 0. Of whole weights up to
`--most` those count that rank both spaces at least as well as equal weights do, by Spearman's correlation. Of these the
highest sum of both correlations is chosen, and then judged on the rows of seed 0, beside equal weights.

Files of accuracies are those of `shared/data` (or HWNAS_DATA). `--json` prints one object: command, date, machine,
versions, held_out: weights -> space -> means of `spearman`, `kendall` and `top_fifth`, best first;
chosen; and reported: space -> weights -> as `nb201_proxies.py` tells it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from nb201_networks import Published, distinct, read_published
from nb201_proxies import judged
from nb201_scoring import Scorers, scored
from numpy.typing import NDArray

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, RankEnsemble
from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums
from hwnas.workspace.environment import machine, versions

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HWNAS_DATA", HERE.parents[1] / "shared/data"))
SCORES = HERE / "data" / "nb201_training_free.npz"
SAMPLE, SAMPLES, SHOWN = 1000, 8, 5

Rows = NDArray[np.int64]


def held_out(published: Published, reported: Rows) -> Rows:
    """The rows whose network is none of those reported on."""
    seen = set(reported.tolist())
    networks = distinct(published, published.rows.tolist())
    return np.array([published.rows[place] for _, places in networks if seen.isdisjoint(published.rows[places])
                     for place in places])  # fmt: skip


def weighted(weights: Sequence[int]) -> RankEnsemble:
    """The default ensemble with other weights."""
    members = ENSEMBLES["ensemble"].members
    return RankEnsemble(tuple(replace(one, weight=weight) for one, weight in zip(members, weights, strict=True)))


@dataclass(frozen=True)
class Sample:
    """Accuracies of networks, and a column of scores for each member."""

    accuracy: NDArray[np.float64]
    scores: Sequence[NDArray[np.float64]]

    def of(self, rows: Rows) -> Sample:
        return Sample(self.accuracy[rows], [column[rows] for column in self.scores])

    def judge(self, weights: Sequence[int]) -> dict[str, Any]:
        """As the benchmark of proxies judges them."""
        columns = [[None if math.isnan(score) else score for score in column.tolist()] for column in self.scores]
        return judged(self.accuracy.tolist(), rank_sums(weighted(weights), columns))


def nb201() -> tuple[list[Sample], Sample]:
    """Held-out samples, and the one that is reported on."""
    published = read_published(DATA / "accuracy/nasbench201_cifar10.npz", "test_cifar10")
    with np.load(SCORES, allow_pickle=False) as held:
        whole = Sample(published.accuracy, [held[member.name] for member in ENSEMBLES["ensemble"].members])
    reported = np.random.default_rng(0).choice(published.rows, SAMPLE, replace=False)
    outside = held_out(published, reported)
    seeds = range(1, SAMPLES + 1)
    samples = [np.random.default_rng(seed).choice(outside, SAMPLE, replace=False) for seed in seeds]
    return [whole.of(rows) for rows in samples], whole.of(reported)


def macro(folder: Path) -> tuple[list[Sample], Sample]:
    """The same; networks without a score yet are scored."""
    published = read_published(DATA / "accuracy/nasbench_macro_cifar10.npz", "mean_acc")
    reported = np.random.default_rng(0).choice(published.rows, 300, replace=False)
    other = np.random.default_rng(1).choice(np.setdiff1d(published.rows, reported), 200, replace=False)
    scorers, found = Scorers(published, None, 0, folder), []
    for rows in (other, reported):
        entries = [scored(task) for task in scorers.tasks("ensemble", rows.tolist())]
        columns = [np.array([entry["score"] for entry in column], dtype=np.float64) for column in entries]
        found.append(Sample(published.accuracy[rows], columns))
    return found[:1], found[1]


def means(samples: Sequence[Sample], weights: Sequence[int]) -> dict[str, float]:
    """Over samples."""
    found = [sample.judge(weights) for sample in samples]
    flat = [{**one, "top_fifth": one["top_fifth"]["spearman"]} for one in found]
    kinds = ("spearman", "kendall", "top_fifth")
    return {kind: round(float(np.mean([one[kind] for one in flat])), 4) for kind in kinds}


def run(most: int, folder: Path) -> dict[str, Any]:
    """Choose, then report."""
    spaces = {"nas_bench_201": nb201(), "nas_bench_macro": macro(folder)}
    equal = (1,) * len(ENSEMBLES["ensemble"].members)
    tried = [weights for weights in product(range(1, most + 1), repeat=len(equal)) if math.gcd(*weights) == 1]
    held = {weights: {space: means(some, weights) for space, (some, _) in spaces.items()} for weights in tried}

    def good(weights: tuple[int, ...]) -> bool:
        return all(held[weights][space]["spearman"] >= held[equal][space]["spearman"] for space in spaces)

    def total(weights: tuple[int, ...]) -> float:
        return sum(means["spearman"] for means in held[weights].values())

    order = sorted(held, key=lambda weights: (good(weights), total(weights)), reverse=True)
    return {
        "command": shlex.join(["python", "benchmarks/nb201_ensemble.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "held_out": {str(weights): held[weights] for weights in order},
        "chosen": order[0],
        "reported": {
            space: {str(weights): rows.judge(weights) for weights in (order[0], equal)}
            for space, (_, rows) in spaces.items()
        },
    }


def main() -> None:
    """Print the choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = run(asked.most, asked.cache or Path(scratch))
    if asked.json:
        print(json.dumps(report, indent=1))
        return
    print(f"chosen: {report['chosen']}")
    for weights in [*list(report["held_out"])[:SHOWN], str((1,) * len(report["chosen"]))]:
        print(f"held out {weights}: {report['held_out'][weights]}")
    for space, found in report["reported"].items():
        for weights, one in found.items():
            top = one["top_fifth"]["spearman"]
            print(
                f"{space} {weights}: spearman {one['spearman']:.3f}, kendall {one['kendall']:.3f}, top fifth {top:.3f}"
            )


if __name__ == "__main__":
    main()
