"""The best under a limit from a table of latencies: ours beside once-for-all's evolution, by fixed predictors.

    python benchmarks/ofa_evolution.py --json                     # writes to docs/results/; 4 s of CPU a pair
    python benchmarks/ofa_evolution.py --space NAME --table FILE  # a table of yours: hwnas's or imported
    python benchmarks/ofa_evolution.py --space ofa_mobilenet_v3_w1.2 --table emulated  # 25 resolutions, made-up rows

Ours (`hwnas.search.surrogate.best_within`) may ask the predictor of accuracy 5,000 times, once-for-all's 50,100 times,
as its code has it (mit-han-lab/once-for-all, ofa/nas/search_algorithm/evolution.py): a population of 100 at random,
then 500 generations of the 25 best, 50 mutated and 50 crossed; what is over the limit is drawn again. A mutation draws
kernel and expansion of each block anew together with probability 0.1, each depth with 0.1, the resolution with 0.5; a
crossing takes each entry from either parent; entries of blocks that are not there are kept. Every network that a
predictor is handed counts as a call, also one that was asked for before. Costs are known and cost no call.

Predictors are made up (benchmarks/ofa_predictors.py). The default is the table that was measured on this project's
machine with ONNX Runtime, and the space that it is for. Limits are quantiles of random networks' latencies.

The JSON: command, date, machine, versions, space, table and its origin, calls; `limits`: a list with predictor,
predictor_seed, quantile, limit, and for `guided` and `once_for_all` the best by each seed, its median and the worst;
`as_good`: in how many of all pairs, and of all medians, ours is at least as good; `cpu_seconds` of each search, median;
`scoring`: the seconds of CPU in which evolution draws, prices and scores 100,000 candidates by the predictor that the
sampler `guided` uses, fitted to 200 networks.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ofa_predictors import PREDICTORS, Predictor, predictor
from predictions_per_second import emulated_table

from hwnas.io.resources import find_file
from hwnas.latency.model import LatencyModel
from hwnas.latency.population import predict_many_ms
from hwnas.measure.table import read_table
from hwnas.network import known_operators
from hwnas.population import Codebook, Codes, codebook_of, population_costs
from hwnas.predictors import Predictor as Fitted
from hwnas.search.surrogate import Candidates, best_within, candidates_of
from hwnas.search.surrogate.evolution import REFUSED, evolve
from hwnas.space import read_space
from hwnas.workspace.environment import machine, versions

Cost = Callable[[Codes], NDArray[np.float64]]
ROOT = Path(__file__).resolve().parent.parent
CALLS = 5_000
POPULATION, GENERATIONS, PARENTS, MUTATED = 100, 500, 25, 50
TOLERANCE = 1e-9
"""Two scores that differ by less are equal: their sums were taken in another order."""


def ours(candidates: Candidates, score: Predictor, cost: Cost, limit: float, seed: int) -> float:
    """The best within the limit that hwnas finds."""
    rng = np.random.default_rng(seed)
    return float(best_within(candidates, score, lambda codes: cost(codes) / limit - 1, CALLS, rng)[1][0])


def once_for_all(candidates: Candidates, score: Predictor, cost: Cost, limit: float, seed: int) -> float:
    """The best within the limit that once-for-all's evolution finds."""
    rng = np.random.default_rng(seed)
    unit, chance = mutated_together(candidates.names)

    def drawn(count: int) -> Codes:
        return rng.integers(candidates.sizes, size=(count, len(candidates.sizes)))

    everybody = within(drawn, cost, limit, POPULATION)
    values = score(everybody)
    for _ in range(GENERATIONS):
        order = np.argsort(-values, kind="stable")[:PARENTS]
        parents, values = everybody[order], values[order]

        def mutated(count: int, parents: Codes = parents) -> Codes:
            chosen = parents[rng.integers(PARENTS, size=count)]
            anew = (rng.random((count, len(chance))) < chance)[:, unit]
            return np.where(anew, rng.integers(candidates.sizes, size=chosen.shape), chosen)

        def crossed(count: int, parents: Codes = parents) -> Codes:
            pairs = rng.integers(PARENTS, size=(2, count))
            either = rng.random((count, parents.shape[1])) < 0.5
            return np.where(either, parents[pairs[0]], parents[pairs[1]])

        numbers = ((mutated, MUTATED), (crossed, POPULATION - MUTATED))
        children = np.concatenate([within(make, cost, limit, count) for make, count in numbers])
        everybody, values = np.concatenate([parents, children]), np.concatenate([values, score(children)])
    return float(values.max())


def mutated_together(names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(choices,) the unit of each that is drawn anew as a whole, and (units,) with which probability."""
    units = [name.rpartition(".")[0] if name.endswith((".kernel", ".expand")) else name for name in names]
    known = list(dict.fromkeys(units))
    chance = [0.5 if unit == "resolution" else 0.1 for unit in known]
    return np.array([known.index(unit) for unit in units], dtype=np.intp), np.array(chance)


def within(make: Callable[[int], Codes], cost: Cost, limit: float, count: int) -> Codes:
    """So many that hold the limit; others are drawn again."""
    found: list[Codes] = []
    while sum(map(len, found)) < count:
        drawn = make(4 * count)
        found.append(drawn[cost(drawn) <= limit])
    return np.concatenate(found)[:count]


SEARCHES = {"guided": ours, "once_for_all": once_for_all}


def raced(candidates: Candidates, codebook: Codebook, cost: Cost, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Both searches with every predictor at every limit."""
    usual = cost(codebook.draw(10_000, np.random.default_rng(0)))
    limits: list[dict[str, Any]] = []
    for name, number, quantile in product(asked.predictors, range(asked.predictor_seeds), asked.quantiles):
        score, limit = predictor(name, codebook, number), float(np.quantile(usual, quantile))
        row: dict[str, Any] = {"predictor": name, "predictor_seed": number, "quantile": quantile, "limit": limit}
        for search, run in SEARCHES.items():
            found, spent, calls = [], [], []
            for seed in range(asked.seeds):
                score.calls, started = 0, time.process_time()
                found.append(run(candidates, score, cost, limit, seed))
                spent.append(time.process_time() - started)
                calls.append(score.calls)
            row[search] = {
                "median": round(float(np.median(found)), 6), "worst": round(min(found), 6),
                "found": [round(best, 6) for best in found], "calls": max(calls),
                "cpu_seconds": round(float(np.median(spent)), 2),
            }  # fmt: skip
        limits.append(row)
        told = "  ".join(f"{of} {row[of]['median']:.3f} (worst {row[of]['worst']:.3f})" for of in SEARCHES)
        print(f"{name} {number}, {asked.table} <= {limit:.4g}: {told}", file=sys.stderr, flush=True)
    return limits


def scoring(candidates: Candidates, score: Predictor, cost: Cost, limit: float) -> dict[str, Any]:
    """Seconds of CPU in which evolution scores 100,000 networks by a model that was fitted to 200."""
    rng = np.random.default_rng(0)
    known = candidates.settle(candidates.draw(200, rng))
    fitted = Fitted.fit(candidates.features(known), score(known), candidates.groups)
    count = 0

    def excess(codes: Codes) -> NDArray[np.float64]:
        return np.maximum(cost(codes) / limit - 1, 0)

    def scored(codes: Codes) -> NDArray[np.float64]:
        nonlocal count
        count += len(codes)
        over, (mean, _) = excess(codes), fitted.latent(candidates.features(codes))
        return np.where(over > 0, REFUSED - over, np.exp(mean / 10))

    started = time.process_time()
    evolve(candidates, scored, known[:0], rng, generations=50, children=2000, parents=200, excess=excess)
    seconds = time.process_time() - started
    return {"candidates": count, "cpu_seconds": round(seconds, 2), "candidates_per_second": round(count / seconds)}


def cost_of(name: str, codebook: Codebook) -> tuple[Cost, str]:
    """What networks cost by a table, and where that is from."""
    if name == "macs":
        return lambda codes: population_costs(codebook, codes).macs.astype(float), "counted"
    if name == "emulated":
        table, origin = emulated_table(codebook.space, codebook), "emulated"
    else:
        table = read_table(find_file(name, "latency_tables"))
        origin = str(table.origin)
    model = LatencyModel.of(table, operators=known_operators(codebook.space))
    return lambda codes: predict_many_ms(model, codebook, codes), origin


def main() -> None:
    """Both searches with all predictors at several limits and seeds, and what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="ofa_mobilenet_v3_224")
    parser.add_argument("--table", default="epyc_onnxruntime_fp32_1t_ofa224.jsonl", help="a file, `emulated` or `macs`")
    parser.add_argument("--predictors", nargs="+", choices=PREDICTORS, default=list(PREDICTORS))
    parser.add_argument("--predictor-seeds", type=int, default=1)
    parser.add_argument("--quantiles", nargs="+", type=float, default=[0.02, 0.25, 0.5, 0.9])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", nargs="?", const=str(ROOT / "docs/results/ofa_evolution.json"))
    asked = parser.parse_args()
    codebook = codebook_of(read_space(find_file(asked.space, "search_spaces")))
    cost, origin = cost_of(asked.table, codebook)
    candidates = candidates_of(codebook)
    limits = raced(candidates, codebook, cost, asked)
    first = predictor(asked.predictors[0], codebook, 0)
    report = {
        "command": shlex.join(["python", "benchmarks/ofa_evolution.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "space": asked.space,
        "table": {"file": asked.table, "origin": origin},
        "limits": limits,
        "as_good": as_good(limits),
        "scoring": scoring(candidates, first, cost, float(limits[0]["limit"])),
    }
    print(f"as good: {report['as_good']}; {report['scoring']}", file=sys.stderr)
    if asked.json is not None:
        Path(asked.json).write_text(json.dumps(report, indent=1) + "\n")


def as_good(limits: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """In how many of all pairs of equal seeds, and of all medians, ours is at least as good."""
    pairs = [
        a >= b - TOLERANCE
        for of in limits
        for a, b in zip(of["guided"]["found"], of["once_for_all"]["found"], strict=True)
    ]
    medians = [of["guided"]["median"] >= of["once_for_all"]["median"] - TOLERANCE for of in limits]
    return {
        "pairs": {"of": len(pairs), "ours": sum(pairs)},
        "medians": {"of": len(medians), "ours": sum(medians)},
    }


if __name__ == "__main__":
    main()
