"""Evolution on fixed predictors of accuracy under a limit, beside once-for-all's, on its space of 10^20 networks.

    python benchmarks/ofa_evolution.py --json          # a quarter of an hour; `--json FILE` writes
    python benchmarks/ofa_evolution.py --rival FILE    # once-for-all's figures from an earlier report: two minutes

Ours (`hwnas.search.guided.evolve`) may ask the predictor 5,000 times, once-for-all's (Cai et al. 2020: a population of
100, 500 generations, a quarter are parents, a gene mutates with probability 0.1, half of the children by mutation and
half by crossover, those over the limit are drawn again) 50,000 times. Both predictors are made up; what they say is
nobody's accuracy: one adds effects of every option and of pairs of options, the other sends effects of options through
a hidden layer. Costs are multiply-adds, the limits quantiles of those of random networks. Costs are known and cost no
call.

The JSON: command, date, machine, versions, space, calls; `limits`: a list with predictor, quantile, macs, and for
`guided` and `once_for_all` the best found by each seed, its median and the worst; `as_good`: in how many of all pairs,
and of all medians, ours is at least as good; `scoring`: the seconds of CPU in which evolution draws, prices and scores
100,000 candidates by the predictor that `guided` itself uses, fitted to 200 networks.
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

from hwnas.pipeline.exporting import machine, versions
from hwnas.population import Codebook, Codes, codebook_of, population_costs
from hwnas.predictors import Predictor
from hwnas.search.guided import Candidates, candidates_of
from hwnas.search.guided.evolve import REFUSED, evolve
from hwnas.shipped import find_file
from hwnas.space import read_space

Score = Callable[[Codes], NDArray[np.float64]]
OURS, THEIRS = 5_000, 50_000
SIZES = {"generations": 60, "children": 100, "parents": 50}
"""Generations are more than the calls last for: those over the limit cost none."""
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


class Layered:
    """A fixed function of another kind: effects of options, and a hidden layer that mixes them all."""

    def __init__(self, codebook: Codebook, seed: int = 0, hidden: int = 16) -> None:
        rng = np.random.default_rng(seed)
        sizes = [len(choice.options) for choice in codebook.choices]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._alone = np.concatenate([np.sort(rng.normal(size=size)) * rng.uniform(0, 1) for size in sizes])
        self._in, self._out = rng.normal(size=(sum(sizes), hidden)) * 0.3, rng.normal(size=hidden)
        self._codebook = codebook
        self.calls = 0

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """Higher is better; inactive choices have no effect."""
        self.calls += len(codes)
        active, at = self._codebook.active(codes), self._starts + codes
        hidden = np.tanh((self._in[at] * active[:, :, None]).sum(axis=1))
        found: NDArray[np.float64] = 0.5 * (self._alone[at] * active).sum(axis=1) + hidden @ self._out
        return found


PREDICTORS: dict[str, type[Predicted] | type[Layered]] = {"effects_and_pairs": Predicted, "hidden_layer": Layered}


def ours(candidates: Candidates, score: Predicted | Layered, macs: Score, limit: float, seed: int) -> float:
    """The best within the limit that `guided`'s evolution finds."""
    best = -np.inf

    def excess(codes: Codes) -> NDArray[np.float64]:
        return np.maximum(macs(codes) / limit - 1, 0)

    def scored(codes: Codes) -> NDArray[np.float64]:
        nonlocal best
        over = excess(codes)
        allowed = np.flatnonzero(over == 0)[: OURS - score.calls]
        found = REFUSED - over
        if len(allowed):
            values = score(codes[allowed])
            best = max(best, float(values.max()))
            found[allowed] = np.exp(values / 10)  # what is allowed is above zero
        return found

    score.calls = 0
    nothing = np.empty((0, len(candidates.sizes)), np.intp)
    evolve(candidates, scored, nothing, np.random.default_rng(seed), **SIZES, excess=excess)
    return best


def once_for_all(candidates: Candidates, score: Predicted | Layered, macs: Score, limit: float, seed: int) -> float:
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


def scoring(candidates: Candidates, score: Predicted | Layered, macs: Score, limit: float) -> dict[str, Any]:
    """Seconds of CPU in which evolution scores 100,000 networks by a predictor that was fitted to 200."""
    rng = np.random.default_rng(0)
    known = candidates.settle(candidates.draw(200, rng))
    predictor = Predictor.fit(candidates.features(known), score(known), candidates.groups)
    count = 0

    def excess(codes: Codes) -> NDArray[np.float64]:
        return np.maximum(macs(codes) / limit - 1, 0)

    def scored(codes: Codes) -> NDArray[np.float64]:
        nonlocal count
        count += len(codes)
        over, (mean, _) = excess(codes), predictor.latent(candidates.features(codes))
        return np.where(over > 0, REFUSED - over, np.exp(mean / 10))

    started = time.process_time()
    evolve(candidates, scored, known[:0], rng, generations=50, children=2000, parents=200, excess=excess)
    seconds = time.process_time() - started
    return {"candidates": count, "cpu_seconds": round(seconds, 2), "candidates_per_second": round(count / seconds)}


def raced(
    candidates: Candidates, codebook: Codebook, macs: Score, seeds: int, rival: Path | None
) -> list[dict[str, Any]]:
    """Both searches with every predictor at every limit."""
    usual = macs(codebook.draw(10_000, np.random.default_rng(0)))
    earlier = {} if rival is None else {_setting(of): of for of in json.loads(rival.read_text())["limits"]}
    limits: list[dict[str, Any]] = []
    for (predictor, made), quantile in product(PREDICTORS.items(), QUANTILES):
        score, limit = made(codebook), float(np.quantile(usual, quantile))
        row = {"predictor": predictor, "quantile": quantile, "macs": round(limit)}
        found = {"guided": [ours(candidates, score, macs, limit, seed) for seed in range(seeds)]}
        found["once_for_all"] = (
            [once_for_all(candidates, score, macs, limit, seed) for seed in range(seeds)]
            if rival is None
            else earlier[_setting(row)]["once_for_all"]["found"]
        )
        limits.append(row | {name: _summary(of) for name, of in found.items()})
        told = "  ".join(f"{name} {np.median(of):.4f} ({min(of):.4f} to {max(of):.4f})" for name, of in found.items())
        print(f"{predictor}, macs <= {limit / 1e6:.0f} M: {told}", file=sys.stderr, flush=True)
    return limits


def _setting(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["predictor"], row["quantile"], row["macs"]


def _summary(found: list[float]) -> dict[str, Any]:
    return {
        "median": round(float(np.median(found)), 6),
        "worst": round(min(found), 6),
        "found": [round(best, 6) for best in found],
    }


def main() -> None:
    """Both searches with both predictors at several limits and seeds, and what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="ofa_mobilenet_v3_w1.2")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rival", type=Path, help="an earlier report, of as many seeds")
    parser.add_argument("--json", nargs="?", const="-")
    asked = parser.parse_args()
    codebook = codebook_of(read_space(find_file(asked.space, "search_spaces")))
    candidates = candidates_of(codebook)

    def macs(codes: Codes) -> NDArray[np.float64]:
        return population_costs(codebook, codes).macs.astype(float)

    limits = raced(candidates, codebook, macs, asked.seeds, asked.rival)
    pairs = [a >= b for of in limits for a, b in zip(of["guided"]["found"], of["once_for_all"]["found"], strict=True)]
    medians = [of["guided"]["median"] >= of["once_for_all"]["median"] for of in limits]
    report = {
        "command": shlex.join(["python", "benchmarks/ofa_evolution.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "space": asked.space,
        "calls": {"guided": OURS, "once_for_all": THEIRS},
        "limits": limits,
        "as_good": {
            "pairs": {"of": len(pairs), "ours": sum(pairs)},
            "medians": {"of": len(medians), "ours": sum(medians)},
        },
        "scoring": scoring(candidates, Predicted(codebook), macs, float(limits[1]["macs"])),
    }
    print(f"as good: {report['as_good']}; {report['scoring']}", file=sys.stderr)
    text = json.dumps(report, indent=1)
    if asked.json == "-":
        print(text)
    elif asked.json is not None:
        Path(asked.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
