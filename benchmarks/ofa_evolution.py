"""Evolution on a fixed predictor of accuracy under a limit, beside once-for-all's, on its space of 10^19 networks.

    python benchmarks/ofa_evolution.py --json          # minutes; `--json FILE` writes

Ours (`hwnas.search.guided.evolve`) may ask the predictor 5,000 times, once-for-all's (Cai et al. 2020: a population of
100, 500 generations, a quarter are parents, a gene mutates with probability 0.1, half of the children by mutation and
half by crossover, those over the limit are drawn again) 50,000 times. The predictor is made up: effects of every option
and of pairs of options, drawn once; what it says is nobody's accuracy. Costs are multiply-adds, the limits quantiles of
those of random networks. Costs are known and cost no call.

The JSON: command, date, machine, versions, space, calls; `limits`: a list with quantile, macs, and for `guided` and
`once_for_all` the best found by each seed; `as_good`: in how many of all pairs ours is at least as good; `scoring`: the
seconds that 100,000 candidates take to be drawn, priced and scored by the predictor that `guided` itself uses, fitted
to 200 networks.
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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.pipeline.exporting import machine, versions
from hwnas.population import Codebook, Codes, codebook_of, population_costs
from hwnas.predictors import Predictor
from hwnas.search.guided import Candidates, candidates_of
from hwnas.search.guided.evolve import evolve, offspring
from hwnas.shipped import find_file
from hwnas.space import read_space

Score = Callable[[Codes], NDArray[np.float64]]
OURS, THEIRS = 5_000, 50_000
GENERATIONS = 150
"""More than the calls last for: those over the limit cost none."""
QUANTILES = (0.05, 0.25, 0.5, 0.75)


class Predicted:
    """A fixed function of codes: each option has an effect, most grow with it, and pairs of options have another."""

    def __init__(self, codebook: Codebook, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        sizes = [len(choice.options) for choice in codebook.choices]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._alone = np.concatenate([np.sort(rng.normal(size=size)) * rng.uniform(0, 1) for size in sizes])
        pairs = np.triu(rng.random((len(sizes), len(sizes))) < 0.15, 1)
        self._first, self._second = np.nonzero(pairs)
        self._together = rng.normal(size=(len(self._first), max(sizes), max(sizes))) * 0.4
        self._codebook = codebook
        self.calls = 0

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """Higher is better; inactive choices have no effect."""
        self.calls += len(codes)
        active = self._codebook.active(codes)
        alone = (self._alone[self._starts + codes] * active).sum(axis=1)
        both = active[:, self._first] & active[:, self._second]
        pairs = self._together[np.arange(len(self._first)), codes[:, self._first], codes[:, self._second]]
        found: NDArray[np.float64] = alone + (pairs * both).sum(axis=1)
        return found


def ours(candidates: Candidates, score: Predicted, macs: Score, limit: float, seed: int) -> float:
    """The best within the limit that `guided`'s evolution finds."""
    best = -np.inf

    def scored(codes: Codes) -> NDArray[np.float64]:
        nonlocal best
        over = np.maximum(macs(codes) / limit - 1, 0)
        allowed = np.flatnonzero(over == 0)[: OURS - score.calls]
        found = -1.0 - over
        if len(allowed):
            values = score(codes[allowed])
            best = max(best, float(values.max()))
            found[allowed] = np.exp(values / 10)  # what is allowed is above zero
        return found

    score.calls = 0
    nothing = np.empty((0, len(candidates.sizes)), np.intp)
    evolve(candidates, scored, nothing, np.random.default_rng(seed), generations=GENERATIONS)
    return best


def once_for_all(candidates: Candidates, score: Predicted, macs: Score, limit: float, seed: int) -> float:
    """The best within the limit that once-for-all's evolution finds: population 100, 500 generations."""
    rng, best = np.random.default_rng(seed), -np.inf
    score.calls = 0
    everybody = _within(lambda count: candidates.settle(candidates.draw(count, rng)), macs, limit, 100)
    values = score(everybody)
    while score.calls < THEIRS:
        order = np.argsort(-values, kind="stable")[:25]
        parents, values = everybody[order], values[order]
        best = max(best, float(values[0]))

        def mutated(count: int, parents: Codes = parents) -> Codes:
            chosen = parents[rng.integers(len(parents), size=count)]
            drawn = rng.integers(candidates.sizes, size=chosen.shape)
            return candidates.settle(np.where(rng.random(chosen.shape) < 0.1, drawn, chosen))

        def crossed(count: int, parents: Codes = parents) -> Codes:
            pairs = rng.integers(len(parents), size=(2, count))
            either = rng.random((count, parents.shape[1])) < 0.5
            return candidates.settle(np.where(either, parents[pairs[0]], parents[pairs[1]]))

        children = np.concatenate([_within(make, macs, limit, 50) for make in (mutated, crossed)])
        everybody, values = np.concatenate([parents, children]), np.concatenate([values, score(children)])
    return max(best, float(values.max()))


def _within(make: Callable[[int], Codes], macs: Score, limit: float, count: int) -> Codes:
    """So many that hold the limit; others are drawn again."""
    found: list[Codes] = []
    while sum(map(len, found)) < count:
        drawn = make(4 * count)
        found.append(drawn[macs(drawn) <= limit])
    return np.concatenate(found)[:count]


def scoring(candidates: Candidates, score: Predicted, macs: Score, count: int = 100_000) -> float:
    """Seconds for `count` children of random networks to be drawn, priced and predicted."""
    rng = np.random.default_rng(0)
    known = candidates.settle(candidates.draw(200, rng))
    predictor = Predictor.fit(candidates.features(known), score(known), candidates.groups)
    started = time.perf_counter()
    for _ in range(count // 10_000):
        children = candidates.settle(offspring(known, 10_000, candidates, rng))
        macs(children)
        predictor.latent(candidates.features(children))
    return round(time.perf_counter() - started, 2)


def main() -> None:
    """Both searches at several limits and seeds, and what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="ofa_mobilenet_v3_w1.2")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", nargs="?", const="-")
    asked = parser.parse_args()
    codebook = codebook_of(read_space(find_file(asked.space, "search_spaces")))
    candidates, score = candidates_of(codebook), Predicted(codebook)

    def macs(codes: Codes) -> NDArray[np.float64]:
        return population_costs(codebook, codes).macs.astype(float)

    usual = macs(codebook.draw(10_000, np.random.default_rng(0)))
    limits: list[dict[str, Any]] = []
    for quantile in QUANTILES:
        limit = float(np.quantile(usual, quantile))
        found = {
            name: [round(search(candidates, score, macs, limit, seed), 6) for seed in range(asked.seeds)]
            for name, search in (("guided", ours), ("once_for_all", once_for_all))
        }
        limits.append({"quantile": quantile, "macs": round(limit), **found})
        told = "  ".join(f"{name} {np.median(of):.4f} ({min(of):.4f} to {max(of):.4f})" for name, of in found.items())
        print(f"macs <= {limit / 1e6:.0f} M: {told}", file=sys.stderr, flush=True)
    pairs = [a >= b for of in limits for a, b in zip(of["guided"], of["once_for_all"], strict=True)]
    report = {
        "command": shlex.join(["python", "benchmarks/ofa_evolution.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "space": asked.space,
        "calls": {"guided": OURS, "once_for_all": THEIRS},
        "limits": limits,
        "as_good": {"pairs": len(pairs), "ours": sum(pairs)},
        "scoring": {"candidates": 100_000, "seconds": scoring(candidates, score, macs)},
    }
    print(f"as good in {sum(pairs)} of {len(pairs)}; {report['scoring']}", file=sys.stderr)
    text = json.dumps(report, indent=1)
    if asked.json == "-":
        print(text)
    elif asked.json is not None:
        Path(asked.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
