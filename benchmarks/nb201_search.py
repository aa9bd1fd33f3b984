"""How much of the true front samplers find with few evaluations, on a published table of accuracies and costs.

    python benchmarks/nb201_search.py --accuracy FILE.npz --column test_cifar10 --latency FILE.csv.gz --device raspi4 \\
        --budgets 50 100 200 500 --seeds 20 --samplers guided nsga2 tpe random --json
    python benchmarks/nb201_search.py --accuracy nasbench_macro_cifar10.npz --column mean_acc --device flops ...

The metric is that of `nb201_table.py`. Each seed is one search to the largest budget, read at every budget. Several
devices may be named; without `--latency` a device is a column of the accuracy file. `--slow gp=3:200` holds a sampler
to so many seeds and evaluations. `--kept FILE` keeps every finished search, so that an interrupted run goes on.
With `--finished` nothing is searched: what is kept is told. A sampler whose package is missing is left out with a
notice. `guided_scores` is `guided` with training-free scores among its features; `guided_start` and `nsga2_start` begin
with the best of 200 untrained networks by the default ensemble of scores. `--scores FILE.npz` holds `arch` and columns
of scores (default: those in benchmarks/data, for NAS-Bench-201).

`--json` prints, `--json FILE` writes:
    command, date, machine, versions    what was run, where
    files       accuracy, column, latency, scores: as they were given
    budgets     evaluations at which the searches are read
    skipped     sampler -> why it was left out
    results     a list, one entry for each device:
        device, architectures, unmeasured (of them, without a number), true_front, true_hypervolume
        samplers    name -> seeds, evaluations (of the largest budget that it ran to), seconds (a search, median) and
            share       budget -> {median, worst, best, quartiles, seeds: a share of the true hypervolume for each seed}
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from nb201_guided import guided, guided_scores, guided_start
from nb201_rivals import RIVALS, Sampler
from nb201_table import Table, read_table

from hwnas.errors import HwnasError, MissingExtra
from hwnas.workspace.environment import machine, versions

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).parents[2] / "shared/data"))
SCORES = Path(__file__).parent / "data/nb201_training_free.npz"
SCORED: Mapping[str, Sampler] = {
    "guided_scores": guided_scores,
    "guided_start": guided_start,
    "nsga2_start": RIVALS["nsga2_start"],
}
"""Those that need training-free scores."""
SAMPLERS: Mapping[str, Sampler] = {"guided": guided, **SCORED, **RIVALS}


@dataclass(frozen=True)
class Curve:
    """One search: its share of the true hypervolume at each budget that it reached."""

    shares: dict[int, float]
    seconds: float


def search(table: Table, sampler: str, budgets: Sequence[int], seed: int) -> Curve:
    """Search once to the largest budget.

    Raises:
        MissingExtra: the sampler's package is not installed.
        RuntimeError: a sampler evaluated a row twice, or too few rows.
    """
    started = time.perf_counter()
    rows = SAMPLERS[sampler](table, max(budgets), seed)
    seconds = time.perf_counter() - started
    if len(set(rows)) < max(budgets):
        raise RuntimeError(f"{sampler} evaluated {len(set(rows))} of {max(budgets)} architectures")
    return Curve({budget: table.share(rows[:budget]) for budget in budgets}, seconds)


class Kept:
    """Finished searches in a file of lines, by all that decides them."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._curves = {json.dumps(record["key"]): record for record in map(json.loads, lines)}

    def get(self, key: list[Any]) -> Curve | None:
        record = self._curves.get(json.dumps(key))
        return record and Curve({int(n): share for n, share in record["shares"].items()}, record["seconds"])

    def add(self, key: list[Any], curve: Curve) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"key": key, "shares": curve.shares, "seconds": curve.seconds}) + "\n")


def race(table: Table, device: str, asked: argparse.Namespace, kept: Kept, skipped: dict[str, str]) -> dict[str, Any]:
    """All samplers on one device."""
    found, unmeasured = {}, int((~table.measured).sum())
    if unmeasured:
        print(f"{device}: {unmeasured:,} architectures without a number are left out", file=sys.stderr)
    for sampler in (name for name in asked.samplers if name not in skipped):
        seeds, most = asked.slow.get(sampler, (asked.seeds, max(asked.budgets)))
        budgets = [budget for budget in asked.budgets if budget <= most]
        curves = []
        for seed in range(asked.first_seed, asked.first_seed + min(seeds, asked.seeds)):
            key = [asked.accuracy.name, asked.column, device, sampler, seed, budgets]
            if (known := kept.get(key)) is not None or asked.finished:
                curves += [known] if known is not None else []
                continue
            try:
                curve = search(table, sampler, budgets, seed)
            except MissingExtra as error:
                skipped[sampler] = str(error)
                print(f"{sampler} is left out: {error}", file=sys.stderr)
                break
            kept.add(key, curve)
            curves.append(curve)
        if curves:
            found[sampler] = summary(curves)
            told = "  ".join(
                f"{n}: {of['median']:.4f} ({of['worst']:.4f})" for n, of in found[sampler]["share"].items()
            )
            print(f"{device:>14} {sampler:>8}  {told}  {found[sampler]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return {
        "device": device,
        "architectures": len(table.codes),
        "unmeasured": unmeasured,
        "true_front": table.true_front,
        "true_hypervolume": table.true_hypervolume,
        "samplers": found,
    }


def summary(curves: Sequence[Curve]) -> dict[str, Any]:
    """What is told of a sampler's searches; a share is rounded to six digits."""
    share = {}
    for budget in curves[0].shares:
        values = [round(curve.shares[budget], 6) for curve in curves]
        share[budget] = {
            "median": statistics.median(values),
            "worst": min(values),
            "best": max(values),
            "quartiles": [round(float(q), 6) for q in np.percentile(values, (25, 75))],
            "seeds": values,
        }
    seconds = round(statistics.median(curve.seconds for curve in curves), 2)
    return {"seeds": len(curves), "evaluations": max(curves[0].shares), "seconds": seconds, "share": share}


def slow(text: str) -> tuple[str, tuple[int, int]]:
    """`gp=3:200` as ("gp", (3, 200)): seeds and evaluations."""
    name, _, numbers = text.partition("=")
    seeds, _, evaluations = numbers.partition(":")
    return name, (int(seeds), int(evaluations))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=Path, default=DATA / "accuracy/nasbench201_cifar10.npz")
    parser.add_argument("--column", default="test_cifar10")
    parser.add_argument("--latency", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--device", nargs="+", required=True)
    parser.add_argument("--budgets", nargs="+", type=int, default=[50, 100, 200, 500])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--slow", nargs="*", type=slow, default=[("gp", (3, 200))], metavar="NAME=SEEDS:EVALUATIONS")
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--finished", action="store_true")
    parser.add_argument("--json", nargs="?", const="-")
    asked = parser.parse_args()
    asked.slow = dict(asked.slow)
    return asked


def main() -> None:
    """Race the samplers on each device and tell what came out."""
    asked = arguments()
    kept, skipped = Kept(asked.kept), dict[str, str]()
    scores = asked.scores or (SCORES if SCORES.exists() and "nasbench201" in asked.accuracy.name else None)
    if scores is None:
        skipped.update((name, "no file of training-free scores is given") for name in asked.samplers if name in SCORED)
    results = [
        race(read_table(asked.accuracy, asked.column, asked.latency, device, scores), device, asked, kept, skipped)
        for device in asked.device
    ]
    report = {
        "command": shlex.join(["python", "benchmarks/nb201_search.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "files": {
            "accuracy": asked.accuracy.name,
            "column": asked.column,
            "latency": getattr(asked.latency, "name", None),
            "scores": getattr(scores, "name", None),
        },
        "budgets": asked.budgets,
        "skipped": skipped,
        "results": results,
    }
    text = json.dumps(report, indent=1)
    if asked.json == "-":
        print(text)
    elif asked.json is not None:
        Path(asked.json).write_text(text + "\n")


if __name__ == "__main__":
    try:
        main()
    except HwnasError as error:
        sys.exit(f"error: {error}")
