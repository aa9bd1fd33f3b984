"""How long a front, its hypervolume and non-domination ranks take of 100,000 points.

    python benchmarks/pareto_speed.py --json                  # seconds; writes to docs/results/
    python benchmarks/pareto_speed.py --points 1000 --out /tmp

Points are either uniform in the unit cube, where few are on the front, or all on one front. Times are
of the processor, the least of `--repeats`, on one core. `array` is the arithmetic alone, `scores` what
`hwnas.pareto` takes: dictionaries.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import moocore
import numpy as np
from numpy.typing import NDArray

from hwnas.pareto import Objective, best, front, hypervolume
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent


def points(count: int, objectives: int, shape: str) -> NDArray[np.float64]:
    """(count, objectives) costs of 0 to 1."""
    rng = np.random.default_rng(0)
    if shape == "uniform":
        return rng.random((count, objectives))
    away = np.abs(rng.normal(size=(count, objectives)))
    return 1 - away / np.linalg.norm(away, axis=1, keepdims=True)


def least_s(work: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of some calls."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def measured(count: int, objectives: int, shape: str, repeats: int) -> dict[str, object]:
    """Times of one cloud of points."""
    costs = points(count, objectives, shape)
    goals = [Objective(f"o{number}", "min") for number in range(objectives)]
    rows = [{goal.metric: float(value) for goal, value in zip(goals, row, strict=True)} for row in costs]
    reference = dict.fromkeys((goal.metric for goal in goals), 1.0)
    works: dict[str, Callable[[], object]] = {
        "array front": lambda: moocore.is_nondominated(costs, keep_weakly=True),
        "array hypervolume": lambda: moocore.hypervolume(costs, ref=np.ones(objectives)),
        "array rank": lambda: moocore.pareto_rank(costs),
        "scores front": lambda: front(rows, goals),
        "scores hypervolume": lambda: hypervolume(rows, goals, reference),
        "scores best by rank": lambda: best(rows, goals, 100),
    }
    found = {name: round(least_s(work, repeats), 4) for name, work in works.items()}
    return {"points": count, "objectives": objectives, "shape": shape, "seconds": found}


def main() -> None:
    """Measure, print, and with --json keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="write pareto_speed.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    found = [
        measured(given.points, objectives, shape, given.repeats)
        for objectives in (2, 3)
        for shape in ("uniform", "front")
    ]
    for one in found:
        print(f"{one['points']:,} points, {one['objectives']} objectives, {one['shape']}: {one['seconds']}")
    if given.json:
        told = {
            "benchmark": "pareto_speed", "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
            "versions": versions(), "repeats": given.repeats, "found": found,
        }  # fmt: skip
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "pareto_speed.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
