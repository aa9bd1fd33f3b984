"""How well is accuracy learned from 50, 100 or 200 networks of a published benchmark?

    python benchmarks/nb201_predictor.py --accuracy FILE.npz --column test_cifar10 --train 50 100 200 --seeds 20 --json

FILE holds `arch` (the benchmark's own strings) and the column: NAS-Bench-201's layout or NAS-Bench-Macro's, told by the
strings. For each size and seed that many rows are drawn, `hwnas.predictors` is fitted to them, and all other rows are
predicted. Strings of equal networks count as they are in the file. `--scores` adds training-free scores of all rows as
features: an .npz with `arch` and one array for each score (default: benchmarks/data/nb201_training_free.npz, for
NAS-Bench-201 and where it is there); results are then told with and without. `--models` are compared by their errors on
held-out training rows, and the best one is used; with one model there is nothing to compare.

Keys: `accuracy`, `column`, `rows` (with a finite value), `left_out` (without one), `networks` (unlike ones),
`ceiling` (Spearman of a row with the mean of the other rows that are the same network: what noise leaves; null where
equal networks have equal values), `scores` (names), `without` and `with` (null without scores). These hold by size:

- `spearman`, `kendall` over the test rows; `spearman_top_fifth` among those whose true value is in the top fifth;
- `regret_10`: the best true value less the best among the ten that are predicted best;
- `coverage_90`: share of test rows in their 90 % intervals; `error`: on held-out training rows, warped (1 is no use);
- `choose_s` for fitting all models, `fit_s` for the best one alone, `predict_per_s`;

each with `median`, `worst` and `each` (by seed); and `model`: which one was used, by seed.
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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from hwnas.notation import read_architecture
from hwnas.population import codebook_of
from hwnas.predictors import MODELS, Predictor, choose, features_of
from hwnas.space import read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SCORES = ROOT / "benchmarks/data/nb201_training_free.npz"
Floats = NDArray[np.float64]
HIGH_IS_GOOD = {"spearman", "kendall", "spearman_top_fifth", "predict_per_s"}


def space_of(arch: str) -> str:
    """The space that the benchmark's strings are of."""
    return "nas_bench_201" if arch.startswith("|") else "nas_bench_macro"


def read_scores(path: Path, arch: list[str]) -> tuple[tuple[str, ...], Floats]:
    """Names and (rows, scores) of training-free scores, rows as in `arch`."""
    file = np.load(path, allow_pickle=False)
    place = {str(name): row for row, name in enumerate(file["arch"])}
    rows = [place.get(name, -1) for name in arch]
    names = tuple(n for n in file.files if file[n].shape == (len(place),) and np.issubdtype(file[n].dtype, np.number))
    if not names:
        raise SystemExit(f"{path}: no array has one number for each of its {len(place)} networks")
    table = np.column_stack([np.append(file[name].astype(float), np.nan)[rows] for name in names])
    return names, table


def ceiling(same: NDArray[np.intp], y: Floats) -> float | None:
    """Spearman of the rows that share their network with the mean of the others that do."""
    count, total = np.bincount(same), np.bincount(same, y)
    shared = count[same] > 1
    others = (total[same] - y)[shared] / (count[same] - 1)[shared]
    if not shared.any() or np.allclose(others, y[shared], rtol=1e-9):
        return None
    return round(float(spearmanr(others, y[shared])[0]), 5)


def trial(
    X: NDArray[np.float32], y: Floats, groups: NDArray[np.intp], train: int, seed: int, models: list[str]
) -> dict[str, Any]:
    """One draw of training rows."""
    drawn = np.random.default_rng(seed).permutation(len(y))
    known, asked = drawn[:train], drawn[train:]
    start = time.perf_counter()
    best = choose(X[known], y[known], groups, models=models, seed=seed)[0].name
    chosen = time.perf_counter()
    predictor = Predictor.fit(X[known], y[known], groups, model=best, seed=seed)
    fitted = time.perf_counter()
    mean, _ = predictor.predict(X[asked])
    predicted = time.perf_counter()
    low, high = predictor.quantile(X[asked], 0.05), predictor.quantile(X[asked], 0.95)
    wanted = y[asked]
    top = wanted >= np.quantile(wanted, 0.8)
    return {
        "spearman": float(spearmanr(mean, wanted)[0]),
        "kendall": float(kendalltau(mean, wanted)[0]),
        "spearman_top_fifth": float(spearmanr(mean[top], wanted[top])[0]),
        "regret_10": float(wanted.max() - wanted[np.argsort(-mean)[:10]].max()),
        "coverage_90": float(np.mean((low <= wanted) & (wanted <= high))),
        "error": predictor.error,
        "choose_s": chosen - start,
        "fit_s": fitted - chosen,
        "predict_per_s": len(asked) / (predicted - fitted),
        "model": predictor.name,
    }


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, worst and each of every figure; of the coverage the worst is the one farthest from what it should be."""
    told: dict[str, Any] = {}
    for key in (key for key in trials[0] if key != "model"):
        each = [round(one[key], 5) for one in trials]
        away = max(each, key=lambda value: abs(value - 0.9)) if key == "coverage_90" else None
        worst = away if away is not None else min(each) if key in HIGH_IS_GOOD else max(each)
        told[key] = {"median": round(statistics.median(each), 5), "worst": worst, "each": each}
    return told | {"model": [one["model"] for one in trials]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--column", required=True)
    parser.add_argument("--train", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scores", type=Path, help="training-free scores of all rows")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    asked = parser.parse_args()
    report = measure(asked)
    if asked.out is not None:
        asked.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report) if asked.json else table(report))


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """The report of a run."""
    file = np.load(asked.accuracy, allow_pickle=False)
    if asked.column not in file.files or file[asked.column].ndim != 1:
        raise SystemExit(f"{asked.accuracy}: no column `{asked.column}`; it holds {', '.join(file.files)}")
    y = file[asked.column].astype(float)
    finite = np.isfinite(y)
    if max(asked.train) >= finite.sum():
        raise SystemExit(f"{asked.accuracy}: {finite.sum():,} rows have a value; `--train` leaves some to be predicted")
    arch, y = [str(name) for name in file["arch"][finite]], y[finite]
    name = space_of(arch[0])
    space = read_space(ROOT / f"search_spaces/{name}.yaml")
    codebook = codebook_of(space)
    codes = codebook.encode([read_architecture(space, one, where=str(asked.accuracy)) for one in arch])
    same = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    path = asked.scores or (SCORES if name == "nas_bench_201" and SCORES.is_file() else None)
    names, scores = read_scores(path, arch) if path is not None else ((), None)
    plain, scored = features_of(codebook), features_of(codebook, scores) if scores is not None else None
    report = {
        "command": shlex.join(["python", "benchmarks/nb201_predictor.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()),
        "versions": versions(),
        "accuracy": asked.accuracy.name,
        "column": asked.column,
        "space": name,
        "rows": len(y),
        "left_out": int((~finite).sum()),
        "networks": int(same.max()) + 1,
        "ceiling": ceiling(same, y),
        "models": asked.models,
        "scores": list(names),
    }
    for kind, features, given in (("without", plain, None), ("with", scored, scores)):
        report[kind] = None if features is None else {}
        for train in asked.train if features is not None else ():
            seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
            X = features(codes, given)
            report[kind][str(train)] = summary([trial(X, y, features.groups, train, s, asked.models) for s in seeds])
    return report


def table(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    lines = [f"{report['accuracy']} {report['column']}: {report['rows']:,} rows, ceiling {report['ceiling']}"]
    for kind in ("without", "with"):
        for train, told in (report[kind] or {}).items():
            figures = ", ".join(
                f"{key} {told[key]['median']:.3f} ({told[key]['worst']:.3f})"
                for key in ("spearman", "kendall", "spearman_top_fifth", "regret_10", "coverage_90", "fit_s")
            )
            lines.append(f"{train} networks {kind} scores, median (worst): {figures}; {', '.join(set(told['model']))}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
