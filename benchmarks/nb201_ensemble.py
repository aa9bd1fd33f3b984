"""The weights of the default ensemble, chosen on other networks of NAS-Bench-201 than those that are reported on.

    python benchmarks/nb201_ensemble.py [--accuracy FILE.npz] [--column test_cifar10] [--most 3] [--json]

Scores are those of `benchmarks/data/nb201_training_free.npz`; nothing is measured. Whole weights up to `--most` are
tried on samples of 1,000 rows, without the rows whose network occurs among the 1,000 of seed 0. The weights with the
highest mean of Spearman's correlation are chosen, and then judged on the rows of seed 0, beside weights of 1.

`--json` prints one object: command, date, machine, versions, held_out (rows, samples, and for each weights the means of
`spearman`, `kendall` and `top_fifth`, best first), chosen, and `reported` and `all`: weights -> as `nb201_proxies.py`
tells it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from nb201_networks import Published, distinct, read_published
from nb201_proxies import judged
from numpy.typing import NDArray

from hwnas.pipeline.exporting import machine, versions
from hwnas.proxies.training_free.ensembles import ENSEMBLES, Ensemble
from hwnas.proxies.training_free.rank_sums import rank_sums

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


def weighted(weights: Sequence[int]) -> Ensemble:
    """The default ensemble with other weights."""
    members = ENSEMBLES["ensemble"].members
    return Ensemble(tuple(replace(one, weight=weight) for one, weight in zip(members, weights, strict=True)))


def judge(published: Published, scores: Sequence[NDArray[np.float64]], ensemble: Ensemble, rows: Rows) -> Any:
    """As the benchmark of proxies judges them."""
    columns = [[None if math.isnan(score) else score for score in column[rows].tolist()] for column in scores]
    return judged(published.accuracy[rows].tolist(), rank_sums(ensemble, columns))


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Choose, then report."""
    published = read_published(asked.accuracy, asked.column)
    with np.load(SCORES, allow_pickle=False) as held:
        scores = [held[member.name] for member in ENSEMBLES["ensemble"].members]
    reported = np.random.default_rng(0).choice(published.rows, SAMPLE, replace=False)
    outside = held_out(published, reported)
    samples = [np.random.default_rng(seed).choice(outside, SAMPLE, replace=False) for seed in range(1, SAMPLES + 1)]
    means = dict[tuple[int, ...], dict[str, float]]()
    for weights in product(range(1, asked.most + 1), repeat=len(scores)):
        if math.gcd(*weights) > 1:
            continue
        found = [judge(published, scores, weighted(weights), rows) for rows in samples]
        means[weights] = {
            kind: round(float(np.mean([one[kind] for one in found])), 4) for kind in ("spearman", "kendall")
        }
        means[weights]["top_fifth"] = round(float(np.mean([one["top_fifth"]["spearman"] for one in found])), 4)
    order = sorted(means, key=lambda weights: -means[weights]["spearman"])
    compared = (order[0], (1,) * len(scores))
    return {
        "command": shlex.join(["python", "benchmarks/nb201_ensemble.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "held_out": {"rows": len(outside), "samples": SAMPLES, **{str(weights): means[weights] for weights in order}},
        "chosen": order[0],
        "reported": {str(weights): judge(published, scores, weighted(weights), reported) for weights in compared},
        "all": {str(weights): judge(published, scores, weighted(weights), published.rows) for weights in compared},
    }


def main() -> None:
    """Print the choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=Path, default=DATA / "accuracy/nasbench201_cifar10.npz")
    parser.add_argument("--column", default="test_cifar10")
    parser.add_argument("--most", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    report = run(asked)
    if asked.json:
        print(json.dumps(report, indent=1))
        return
    tried = {key: value for key, value in report["held_out"].items() if isinstance(value, dict)}
    for weights in [*list(tried)[:SHOWN], str((1,) * len(report["chosen"]))]:
        print(f"held out  {weights}: " + ", ".join(f"{kind} {value:.3f}" for kind, value in tried[weights].items()))
    for part in ("reported", "all"):
        for weights, one in report[part].items():
            top = one["top_fifth"]["spearman"]
            print(
                f"{part:9} {weights}: spearman {one['spearman']:.3f}, kendall {one['kendall']:.3f}, top_fifth {top:.3f}"
            )


if __name__ == "__main__":
    main()
