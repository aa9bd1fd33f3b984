"""How well training-free proxies rank networks, on a published table of trained accuracies.

    python benchmarks/nb201_proxies.py --accuracy FILE.npz --column test_cifar10 [--images FILE.npz] --sample 1000 \\
        --seed 0 --proxies meco swap ensemble --json
    python benchmarks/nb201_proxies.py --accuracy nasbench_macro_cifar10.npz --column mean_acc ...

The table is NAS-Bench-201's or NAS-Bench-Macro's, recognised by how it writes architectures; accuracies of any data
set, in per cent or as shares. `--images` is a file in the layout of `cifar10_jpeg.npz`, or with plain arrays as
`x_train`, of any data set: its labels say how many classes networks have, its images at which resolution
they are built. Without it no proxy sees data, and networks are CIFAR-10's.

`--proxies` are names of `TRAINING_FREE` and `ENSEMBLES` (default: all, which for 1,000 rows takes about an hour of one
core; the run says how long it will take). `--only ntk=200 ...` holds a proxy to the first so many rows of the sample.
`--cache FOLDER` keeps scores, so that a large sample can be taken in pieces, and goes on after a stop.

Networks are rows drawn at random, without replacement, of those that have an accuracy; rows of equal networks get one
score. The top fifth are the rows of the sample with the highest accuracies. Regret is the best accuracy of the sample
less the best among the k rows with the highest scores, in the column's unit; equal scores stand in the order of the
file. Rows without a score are left out, and counted. Milliseconds are processor time in one thread, building the
network included: what a clock shows where nothing else runs.

`--json` prints one object:
    command, date, machine, versions, files, column, seed, sample, space, classes, resolution, no_accuracy (rows of the
                file), data (whether images were given)
    results     name -> rows, networks (distinct), no_score (reason -> rows), ms (median), producer or members,
                spearman, kendall, top_fifth {rows, spearman, kendall}, regret {"1", "10", "1%", "10%": points},
                published {spearman, kendall, source, looked_up} and difference (of Spearman's) where there is one
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from nb201_images import read_images
from nb201_networks import Published, read_published
from nb201_published import PUBLISHED
from nb201_scoring import Scorers, Task, announce, scored

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums
from hwnas.errors import ConfigError, HwnasError, did_you_mean
from hwnas.ranks import correlation
from hwnas.workspace.environment import machine, versions

TOP = 0.2


def judged(accuracy: Sequence[float], scores: Sequence[float | None]) -> dict[str, Any]:
    """How well scores rank, over the rows that have one."""
    known = [row for row, score in enumerate(scores) if score is not None]
    truth = np.array([accuracy[row] for row in known])
    guess = np.array([scores[row] for row in known], dtype=np.float64)
    if not known:
        return {"rows": 0}
    top = np.sort(np.argsort(-truth, kind="stable")[: max(1, round(TOP * len(truth)))])
    order = np.argsort(-guess, kind="stable")
    shares = {"1": 1, "10": 10, "1%": round(0.01 * len(truth)), "10%": round(0.1 * len(truth))}
    return {
        "rows": len(known),
        **_ranked(guess, truth),
        "top_fifth": {"rows": len(top), **_ranked(guess[top], truth[top])},
        "regret": {name: round(float(truth.max() - truth[order[: max(1, k)]].max()), 4) for name, k in shares.items()},
    }


def _ranked(guess: Any, truth: Any) -> dict[str, float | None]:
    return {kind: correlation(kind, guess, truth) for kind in ("spearman", "kendall")}


def of_proxy(name: str, published: Published, rows: Sequence[int], members: Sequence[Task]) -> dict[str, Any]:
    """The results of a proxy, or of an ensemble of them whose population are the rows."""
    columns = [scored(task) for task in members]
    scores = [[entry["score"] for entry in column] for column in columns]
    total = rank_sums(ENSEMBLES[name], scores) if name in ENSEMBLES else scores[0]
    reasons = Counter(
        next(entry["reason"] for entry in entries if entry["score"] is None)
        for entries, score in zip(zip(*columns, strict=True), total, strict=True)
        if score is None
    )
    told = [column[0]["producer"] for column in columns]
    found = {
        **judged(published.accuracy[list(rows)].tolist(), total),
        "networks": len(members[0].networks),
        "no_score": dict(reasons),
        "ms": round(sum(statistics.median(entry["ms"] for entry in column) for column in columns), 1),
        **({"members": ENSEMBLES[name].parts(told)} if name in ENSEMBLES else {"producer": told[0]}),
    }
    known = PUBLISHED.get(name) if published.known else None
    if known is None:
        return found
    difference = None if found.get("spearman") is None else round(found["spearman"] - known.spearman, 3)
    return {**found, "published": asdict(known), "difference": difference}


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{report['space']}: {report['sample']} rows, {report['column']}; data: {report['data']}"]
    lines.append(
        f"{'':16}{'rho':>7}{'tau':>7}{'top rho':>9}{'top tau':>9}{'regret 1':>10}{'10%':>7}{'none':>6}{'ms':>8}"
    )
    lines[-1] += f"{'published':>11}{'off':>8}"
    for name, one in report["results"].items():
        top, regret = one.get("top_fifth", {}), one.get("regret", {})
        numbers = [one.get("spearman"), one.get("kendall"), top.get("spearman"), top.get("kendall")]
        shown = "".join(f"{'' if n is None else f'{n:.3f}':>{w}}" for n, w in zip(numbers, (7, 7, 9, 9), strict=True))
        shown += f"{regret['1']:>10.4g}{regret['10%']:>7.3g}" if regret else " " * 17
        shown += f"{sum(one['no_score'].values()):>6}{one['ms']:>8.1f}"
        if "published" in one:
            shown += f"{one['published']['spearman']:>11.3f}{one['difference']:>+8.3f}"
        lines.append(f"{name:16}{shown}")
    return "\n".join(lines)


def _limits(words: Sequence[str]) -> dict[str, int]:
    try:
        return {name: int(number) for name, number in (word.split("=") for word in words)}
    except ValueError as error:
        raise ConfigError(
            f"`{' '.join(words)}`", where="--only", allowed="NAME=NUMBER, such as ntk=200", do="Correct it"
        ) from error


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The report."""
    dataset = read_images(asked.images, asked.seed) if asked.images else None
    published = read_published(asked.accuracy, asked.column, dataset)
    size = min(asked.sample, len(published.rows))
    rows = np.random.default_rng(asked.seed).choice(published.rows, size, replace=False).tolist()
    known = (*TRAINING_FREE, *ENSEMBLES)
    for name in asked.proxies:
        if name not in known:
            raise ConfigError(
                f"unknown proxy `{name}`", where="--proxies", allowed=did_you_mean(name, known), do="Correct it"
            )
    limits = _limits(asked.only)
    held = {name: rows[: limits.get(name, size)] for name in asked.proxies}
    scorers = Scorers(published, dataset, asked.seed, folder)
    todo = {name: scorers.tasks(name, held[name]) for name in asked.proxies}
    announce([task for members in todo.values() for task in members])
    results = {name: of_proxy(name, published, held[name], members) for name, members in todo.items()}
    return {
        "command": shlex.join(["python", "benchmarks/nb201_proxies.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "files": {"accuracy": str(asked.accuracy), "images": str(asked.images) if asked.images else None},
        "column": asked.column,
        "seed": asked.seed,
        "sample": size,
        "no_accuracy": len(published.arch) - len(published.rows),
        "space": published.space.name,
        "classes": published.space.width,
        "resolution": published.space.input["resolution"].options[0],
        "data": dataset is not None,
        "results": results,
    }


def main() -> None:
    """Score, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--column", required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--proxies", nargs="+", default=[*TRAINING_FREE, *ENSEMBLES])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        try:
            report = run(asked, asked.cache or Path(kept))
        except HwnasError as error:
            sys.exit(str(error))
    print(json.dumps(report, indent=1) if asked.json else table(report))


if __name__ == "__main__":
    main()
