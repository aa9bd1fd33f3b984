"""Does the search beat random search at equal trials? On benchmarks that hold the score of every architecture.

    python benchmarks/search_vs_random.py --out /tmp/results              # half a minute
    python benchmarks/search_vs_random.py      # minutes; writes to docs/results/

Hypervolume is a fraction of the whole benchmark's; its reference point is just worse than the benchmark's true front.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from hwnas.pareto import Limit, Objective, Scores, Tier, front, hypervolume, reference_point
from hwnas.runtimes.setup import cpu_name
from hwnas.search.evaluate import Evaluation, evaluate
from hwnas.search.fronts import hypervolume_history
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture, FunctionSpace

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).parents[2] / "shared/data"))
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Benchmark:
    """All architectures of a published benchmark with their scores, as a space and a tier."""

    name: str
    space: FunctionSpace
    tier: Tier
    rows: dict[str, Scores]
    """Scores by architecture key."""

    def evaluate(self, architecture: Architecture) -> Evaluation:
        """Look the scores up, the cost first."""
        cost, accuracy = self.tier.costs[0].metric, self.tier.quality.metric
        row = self.rows[architecture.key]
        return evaluate(architecture, {metric: lambda _, m=metric: row[m] for metric in (cost, accuracy)}, self.tier)


def benchmarks() -> Iterator[Benchmark]:
    """NAS-Bench-Macro over FLOPs, NAS-Bench-201 over Raspberry Pi latency, and that again under a limit."""
    macro = np.load(DATA / "accuracy/nasbench_macro_cifar10.npz")
    yield _benchmark(
        "NAS-Bench-Macro, accuracy / FLOPs",
        macro["op_names"],
        macro["ops"],
        Objective("top1@nasbench_macro", "max"),
        macro["mean_acc"],
        Objective("mflops@nasbench_macro", "min"),
        macro["flops"] / 1e6,
    )
    cells = np.load(DATA / "accuracy/nasbench201_cifar10.npz")
    with gzip.open(DATA / "latency/nasbench201_help_ms.csv.gz", "rt") as file:
        by_cell = {row["arch_str"]: float(row["raspi4"]) for row in csv.DictReader(file)}
    latency_ms = np.array([by_cell[cell] for cell in cells["arch"]])
    for limit_ms in (None, float(round(np.quantile(latency_ms, 0.25), 1))):
        yield _benchmark(
            "NAS-Bench-201, accuracy / latency on Raspberry Pi 4" + (f" <= {limit_ms} ms" if limit_ms else ""),
            cells["op_names"],
            cells["ops"],
            Objective("top1@nasbench201", "max"),
            cells["test_cifar10"],
            Objective("latency_ms@raspi4", "min"),
            latency_ms,
            limit_ms,
        )


def _benchmark(
    name: str,
    op_names: Any,
    ops: Any,
    accuracy: Objective,
    accuracies: Any,
    cost: Objective,
    costs: Any,
    limit: float | None = None,
) -> Benchmark:
    words, slots = [str(op) for op in op_names], [f"op{index}" for index in range(ops.shape[1])]
    space = FunctionSpace(name, lambda choose: [choose(slot, words) for slot in slots])
    rows = {
        Architecture(name, tuple(zip(slots, (words[op] for op in row), strict=True))).key: {
            accuracy.metric: float(a),
            cost.metric: float(c),
        }
        for row, a, c in zip(ops, accuracies, costs, strict=True)
    }
    limits = (Limit(cost.metric, limit),) if limit is not None else ()
    return Benchmark(name, space, Tier("benchmark", (accuracy, cost), limits), rows)


def race(benchmark: Benchmark, samplers: list[str], trials: list[int], seeds: int, population: int) -> dict[str, Any]:
    """Hypervolumes by sampler and number of trials, one for each seed."""
    tier = benchmark.tier
    fit = [row for row in benchmark.rows.values() if not tier.broken(row)]
    true_front = [fit[index] for index in front(fit, tier.objectives)]
    reference = reference_point(true_front, tier.objectives)
    best = hypervolume(true_front, tier.objectives, reference)
    found: dict[str, dict[int, list[float]]] = {sampler: {n: [] for n in trials} for sampler in samplers}
    seconds: dict[str, float] = {}
    for sampler in samplers:
        started = time.perf_counter()
        for seed in range(seeds):
            study = open_study(StudySpec(benchmark.space, tier, sampler, population, seed))
            study.run(benchmark.evaluate, max(trials))
            history = hypervolume_history(study.evaluations, tier, reference)
            for n in trials:
                found[sampler][n].append(history[n - 1] / best)
        seconds[sampler] = time.perf_counter() - started
    return {
        "benchmark": benchmark.name,
        "architectures": len(benchmark.rows),
        "true_front": len(true_front),
        "reference": reference,
        "true_hypervolume": best,
        "hypervolume_fraction": found,
        "seconds": seconds,
    }


def wins(result: dict[str, Any], sampler: str, trials: int) -> int:
    """In how many seeds a sampler is above random search of the same seed."""
    of = result["hypervolume_fraction"]
    return sum(a > b for a, b in zip(of[sampler][trials], of["random"][trials], strict=True))


def overhead_ms(trials: int = 300, choices: int = 20) -> dict[str, float]:
    """What asking and telling costs a trial, kept in memory and in a journal file."""
    space = FunctionSpace("overhead", lambda choose: [choose(f"c{i}", (0, 1, 2, 3)) for i in range(choices)])
    tier = Tier("overhead", (Objective("a", "max"), Objective("b", "min")))

    def scored(architecture: Architecture) -> Evaluation:
        values = [int(value) for _, value in architecture.picks]
        return Evaluation(architecture, {"a": float(sum(values)), "b": float(sum(i * v for i, v in enumerate(values)))})

    with tempfile.TemporaryDirectory() as folder:
        spent = {}
        for name, storage in (("memory", None), ("journal file", Path(folder) / "study.log")):
            study = open_study(StudySpec(space, tier), storage)
            started = time.perf_counter()
            study.run(scored, trials)
            spent[name] = (time.perf_counter() - started) / trials * 1e3
    return spent


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    lines = [
        "# Search against random search, at equal trials",
        "",
        f"`{report['command']}`, {report['date']}, {report['machine']}, Python {report['python']}, "
        f"Optuna {report['optuna']}. {report['seeds']} seeds, population {report['population']}.",
        "A trial is an architecture that was not tried before. Hypervolume is a fraction of the benchmark's own,",
        "against a point just worse than its true front: the median, and in brackets in how many seeds it is above",
        "random search with the same seed.",
        "",
    ]
    for result in report["results"]:
        of = result["hypervolume_fraction"]
        lines += [f"## {result['benchmark']}", ""]
        lines += [f"{result['architectures']:,} architectures, {result['true_front']} on the true front.", ""]
        lines += ["| trials | " + " | ".join(of) + " |", "|---" * (len(of) + 1) + "|"]
        for n in report["trials"]:
            cells = [
                f"{statistics.median(of[s][n]):.4f}"
                + ("" if s == "random" else f" ({wins(result, s, n)}/{report['seeds']})")
                for s in of
            ]
            lines.append(f"| {n} | " + " | ".join(cells) + " |")
        seconds = ", ".join(f"{s} {result['seconds'][s]:.1f} s" for s in of)
        lines += ["", f"All seeds together took: {seconds}.", ""]
    spent = ", ".join(
        f"{ms:.1f} ms in {where}" if where == "memory" else f"{ms:.1f} ms with a {where}"
        for where, ms in report["overhead_ms"].items()
    )
    return "\n".join([*lines, "## Overhead", "", f"Asking and telling (nsga2, 20 choices) costs a trial {spent}.", ""])


def main() -> None:
    """Race the samplers and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=["tpe", "nsga2", "nsga3"])
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 200, 400])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    samplers = ["random", *asked.samplers]
    results = [race(b, samplers, asked.trials, asked.seeds, asked.population) for b in benchmarks()]
    report = {
        "command": shlex.join(["python", "benchmarks/search_vs_random.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": cpu_name(),
        "python": platform.python_version(),
        "optuna": optuna.__version__,
        "seeds": asked.seeds,
        "population": asked.population,
        "trials": asked.trials,
        "results": results,
        "overhead_ms": overhead_ms(),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "search_vs_random.json").write_text(json.dumps(report, indent=1) + "\n")
    (asked.out / "search_vs_random.md").write_text(markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
