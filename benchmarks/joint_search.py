"""Does searching networks with their cut beat searching each tier, then planning? NAS-Bench-Macro, three links.

    python benchmarks/joint_search.py --seeds 1                                                # a minute
    python benchmarks/joint_search.py --exhaustive --output docs/results/joint_search.json     # minutes

Accuracies are published (NAS-Bench-Macro, CIFAR-10). Both machines are **simulated**: an operator takes a constant
and its multiply-adds at a constant rate. Objectives are accuracy and the 95 % quantile of a request's latency with the
best cut: the whole network on the edge, the whole one in the cloud (3 KB of raw input), or any cut with the boundary
in int8. Hypervolumes are fractions of brute force's, which tries all cuts of all networks; against a point just worse
than its front, against the worst accuracy and latency of all networks, and against the first with the accuracy that a
tenth of all networks do not reach, whose front `guided` is made for.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped
from nb201_networks import read_published
from numpy.typing import NDArray

from hwnas.collaborate.codecs import BoundaryCodec, InputCodec
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.population_cuts import CutSetting, PopulationCuts, population_cuts
from hwnas.collaborate.wire import answer_bytes
from hwnas.commands.search_pair import PAIRS_UNWANTED
from hwnas.ops.costs import operator_costs
from hwnas.pareto import Objective, Tier, front, hypervolume, reference_point
from hwnas.population import Codebook, codebook_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, candidates_of
from hwnas.search.surrogate.acquisition import UNWANTED
from hwnas.space import Architecture
from hwnas.tasks.ends import elements_of

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).parents[2] / "shared/data"))
LINKS = ("wifi", "lte", "5g")
DRAWS, QUANTILE = 400, 0.95
SHARE, STRINGS = 0.02, 6561
"""Share of the networks that a search evaluates; and of the benchmark's strings, some of which are one network."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedMachine:
    """A machine on which an operator takes a constant and its multiply-adds at a constant rate."""

    gmacs_per_s: float
    operator_ms: float
    call_ms: float

    def linear(self, links: Any) -> tuple[float, Floats]:
        """Return the time of a call and of each operator, as a latency model does."""
        macs = np.array([operator_costs(*link).macs for link in links], dtype=float)
        return self.call_ms, self.operator_ms + macs / self.gmacs_per_s / 1e6


EDGE, CLOUD = SimulatedMachine(0.5, 0.02, 0.1), SimulatedMachine(40.0, 0.005, 0.05)


@dataclass(frozen=True, eq=False)
class Problem:
    """All networks with their accuracies and times."""

    codebook: Codebook
    codes: Any
    accuracy: Floats
    row: dict[str, int]
    edge_ms: Floats
    cloud_ms: Floats
    cuts: dict[str, PopulationCuts]

    def request_ms(self, link: str) -> Floats:
        """Return the latency of a request of each network with its best cut."""
        least: Floats = self.cuts[link].ms.min(axis=1)
        return least


def opened() -> Problem:
    """Return NAS-Bench-Macro; the mean of the accuracies of equal networks."""
    published = read_published(DATA / "accuracy/nasbench_macro_cifar10.npz", "mean_acc")
    codebook = codebook_of(published.space)
    found: dict[str, list[float]] = {}
    networks: dict[str, Architecture] = {}
    for row in published.rows.tolist():
        architecture = published.architecture(row)
        networks[architecture.key] = architecture
        found.setdefault(architecture.key, []).append(float(published.accuracy[row]) / 100)
    codes = codebook.encode(list(networks.values()))
    codec = BoundaryCodec("int8")
    setting = CutSetting(
        lambda shape: codec.format(shape).body_bytes(elements_of(shape)),
        InputCodec("raw").format((3, 32, 32), "uint8").body_bytes(3 * 32 * 32),
        answer_bytes((10,)),
        QUANTILE,
    )
    edge: Any = EDGE
    cloud: Any = CLOUD
    cuts = {
        name: population_cuts(
            codebook, codes, edge, cloud, LinkModel.of_preset(name, PRESETS[name]).quick_draws(0, DRAWS), setting
        )
        for name in LINKS
    }
    codebook.meet(codes)
    times = [machine.call_ms + codebook.total(codes, machine.linear(codebook.links)[1]) for machine in (EDGE, CLOUD)]
    accuracy = np.array([np.mean(found[key]) for key in networks])
    return Problem(codebook, codes, accuracy, {key: n for n, key in enumerate(networks)}, *times, cuts)


def searched(
    problem: Problem,
    cost: Floats,
    evaluations: int,
    seed: int,
    sampler: str = "guided",
    unwanted: float = UNWANTED,
    within: NDArray[np.bool_] | None = None,
) -> list[int]:
    """Return the rows that a study evaluates, as a tier's is, or with `PAIRS_UNWANTED` a pair's.

    `within` is true of networks that hold the tier's limits; `guided` proposes no others.
    """
    tier = Tier("tier", (Objective("top1@published", "max"), Objective("cost_ms@simulated", "min")))
    place = {row.tobytes(): n for n, row in enumerate(problem.codebook.canonical(problem.codes).astype(np.intp))}

    def costs(codes: Any) -> Floats:
        return np.array([cost[place[row.tobytes()]] for row in np.asarray(codes, dtype=np.intp)])

    def outside(codes: Any) -> Floats:
        assert within is not None
        return np.array([float(not within[place[row.tobytes()]]) for row in np.asarray(codes, dtype=np.intp)])

    limits = [] if within is None else [(outside, 0.5)]
    space = problem.codebook.space
    guide = (
        Acquisition(candidates_of(problem.codebook), [costs], limits=limits, unwanted=unwanted)
        if sampler == "guided"
        else None
    )
    first = (space.smallest(), space.largest())
    study = open_study(StudySpec(space, tier, sampler, seed=seed, first=first, guide=guide))

    def score(architecture: Architecture) -> Evaluation:
        n = problem.row[architecture.key]
        scores = {"top1@published": float(problem.accuracy[n]), "cost_ms@simulated": float(cost[n])}
        return Evaluation(architecture, scores)

    study.run(score, evaluations)
    return [problem.row[one.architecture.key] for one in study.evaluations]


def volumes(
    problem: Problem, link: str, counted: NDArray[np.bool_] | None = None
) -> tuple[Callable[[list[int]], tuple[float, ...]], dict[str, Any]]:
    """Return a function from rows to their share of brute force's hypervolume, and what brute force found; of all
    networks, or of those that are counted."""
    objectives = (Objective("accuracy", "max"), Objective("ms", "min"))
    ms, numbers = problem.request_ms(link), np.arange(len(problem.accuracy))
    numbers = numbers if counted is None else numbers[counted]
    rows = [{"accuracy": float(a), "ms": float(m)} for a, m in zip(problem.accuracy, ms, strict=True)]
    best = [int(numbers[n]) for n in front([rows[n] for n in numbers], objectives)]
    references = [reference_point(some, objectives) for some in ([rows[n] for n in best], [rows[n] for n in numbers])]
    references.append({**references[0], "accuracy": float(np.quantile(problem.accuracy[numbers], UNWANTED))})
    wholes = [hypervolume([rows[n] for n in best], objectives, reference) for reference in references]
    cuts, last = problem.cuts[link], problem.cuts[link].ms.shape[1] - 1
    kinds = [
        "edge_only" if cuts.best[n] == last else "split" if cuts.operators[n, cuts.best[n]] else "cloud_only"
        for n in best
    ]
    facts = {"front": len(best), **{kind: kinds.count(kind) for kind in ("edge_only", "cloud_only", "split")}}

    def share(some: list[int]) -> tuple[float, ...]:
        return tuple(
            hypervolume([rows[n] for n in some], objectives, reference) / whole
            for reference, whole in zip(references, wholes, strict=True)
        )

    return share, facts


def interval(values: list[float]) -> list[float]:
    """Return mean and ends of the 95 % bootstrap interval of the mean."""
    some, rng = np.array(values), np.random.default_rng(0)
    means = some[rng.integers(0, len(some), (10_000, len(some)))].mean(axis=1)
    return [float(some.mean()), *map(float, np.quantile(means, (0.025, 0.975)))]


def compared(both: dict[str, list[tuple[float, ...]]]) -> dict[str, Any]:
    """Return the shares of each way by reference point, with intervals, and what searching together gains."""
    return {
        point: _compared({name: [shares[index] for shares in of] for name, of in both.items()})
        for index, point in enumerate(("beyond_the_front", "beyond_all_networks", "worst_tenth_left_out"))
    }


def _compared(of: dict[str, list[float]]) -> dict[str, Any]:
    gains = [a - b for a, b in zip(of["together"], of["each, then plan"], strict=True)]
    return {
        "hypervolume_share": {name: interval(values) for name, values in of.items()},
        "median": {name: float(np.median(values)) for name, values in of.items()},
        "least": {name: min(values) for name, values in of.items()},
        "gain": interval(gains),
    }


def exhaustive(problem: Problem) -> dict[str, bool]:
    """Return whether a search of all networks finds the front of brute force, by link."""
    objectives = (Objective("accuracy", "max"), Objective("ms", "min"))
    same = {}
    for link in LINKS:
        ms = problem.request_ms(link)
        told = searched(problem, ms, len(problem.codes), 0, "random")
        rows = [{"accuracy": float(problem.accuracy[n]), "ms": float(ms[n])} for n in range(len(ms))]
        found = {told[n] for n in front([rows[n] for n in told], objectives)}
        same[link] = found == set(front(rows, objectives))
    return same


def main() -> None:
    """Search, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--exhaustive", action="store_true", help="also search all networks of each link")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    problem = opened()
    budgets = [int(SHARE * len(problem.codes)), int(SHARE * STRINGS)]
    judges = {link: volumes(problem, link) for link in LINKS}
    shares: dict[str, dict[int, dict[str, list[tuple[float, ...]]]]] = {
        link: {n: {} for n in budgets} for link in LINKS
    }
    for seed in range(arguments.seeds):
        half = (max(budgets) + 1) // 2
        edge, cloud = (searched(problem, cost, half, seed) for cost in (problem.edge_ms, problem.cloud_ms))
        chance = searched(problem, problem.edge_ms, max(budgets), seed, "random")
        for link in LINKS:
            together = searched(problem, problem.request_ms(link), max(budgets), seed, unwanted=PAIRS_UNWANTED)
            for n in budgets:
                each = [*edge[: n - n // 2], *cloud[: n // 2]]
                ways = {"together": together[:n], "each, then plan": each, "random": chance[:n]}
                for name, rows in ways.items():
                    shares[link][n].setdefault(name, []).append(judges[link][0](rows))
        print(
            seed,
            {
                link: {name: [round(one, 4) for one in v[-1]] for name, v in of[max(budgets)].items()}
                for link, of in shares.items()
            },
        )
    links = {
        link: {
            "brute_force": judges[link][1],
            "evaluations": {str(n): compared(shares[link][n]) for n in budgets},
        }
        for link in LINKS
    }
    result = {
        "space": "nas_bench_macro",
        "networks": len(problem.codes),
        "seeds": arguments.seeds,
        "machines": {"edge": vars(EDGE), "cloud": vars(CLOUD), "origin": "simulated"},
        "exhaustive_equals_brute_force": exhaustive(problem) if arguments.exhaustive else None,
        "links": links,
    }
    publish(stamped(result), arguments.output)


if __name__ == "__main__":
    main()
