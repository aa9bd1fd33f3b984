"""The search of a pair on digits: its front beside brute force, its cascades beside searching each tier, then planning.

    python benchmarks/joint_search_digits.py runs/quickstart --seeds 4 --output docs/results/joint_search_digits.json

An hour, of which half are the accuracies of all 26,880 networks, which `--accuracies` keeps; `--narrow-stem` leaves the
13,440 with a stem of 4 channels. The run's own tables price the networks; accuracies are inherited from its supernet. A
search evaluates 2 % of the networks. Its share is that of brute force's hypervolume, of networks alone with their best
cut. Cascades are judged on test images that no threshold was set on; searching each tier spends half of the evaluations
on either, and plans with both fronts.

The accuracies are those of 359 images, and chance has a part in them. So the networks are searched once more by what a
model of all others predicts for each (gradient boosting, out of fold), in which its own luck has none.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _digits_accuracies import all_accuracies, all_networks
from _results import publish, stamped
from joint_search import LINKS, PAIRS_UNWANTED, SHARE, Problem, interval, searched, volumes
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict

from hwnas.config.links import PairConfig
from hwnas.latency.population import predict_many_ms
from hwnas.pareto import Objective, Scores, front, hypervolume, reference_point
from hwnas.problem.cost_models import load_cost_models
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.problem.pairs.cascades import judged_cascades
from hwnas.problem.pairs.problem import PairProblem
from hwnas.problem.plans.candidates import Enumeration
from hwnas.problem.plans.samples import MOST_SAMPLES, HeldOutSamples
from hwnas.problem.plans.sides import Side, side_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.space import Architecture
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import Trained, supernet_of
from hwnas.workspace.workspace import open_run

OBJECTIVES = (Objective("accuracy", "max"), Objective("ms", "min"))
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Digits:
    """All networks of a run, with the pairs of its two tiers over some links."""

    trained: Trained
    problem: Problem
    counted: NDArray[np.bool_]
    """True of the networks that are searched."""
    networks: Sequence[Architecture]
    pairs: Mapping[str, PairProblem]
    within: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    """True of networks that hold the edge's limits, and of those that hold the cloud's."""


def opened(folder: Path, kept: Path, narrow_stem: bool) -> Digits:
    """Return the networks with their accuracies and times."""
    run = open_run(folder)
    for link in LINKS:
        run.experiment.pairs[link] = PairConfig(edge="edge", cloud="cloud", link=link)
    trained = supernet_of(run, default_reporter(None))
    assert trained is not None
    codes, costs = all_networks(run), load_cost_models(run)
    counted = codes[:, 0] == 0 if narrow_stem else np.ones(len(codes), dtype=np.bool_)
    accuracy = all_accuracies(run, codes, kept, counted)
    accuracy[~counted] = accuracy[counted].mean()  # a study begins with the largest network, which is one of them
    networks = run.codebook.decode(codes)
    pairs = {link: PairProblem(run, link, costs) for link in LINKS}
    cuts = {link: pair.cuts(codes) for link, pair in pairs.items()}
    times = [predict_many_ms(side.model, run.codebook, codes) for side in pairs[LINKS[0]].sides]
    rows = {one.key: n for n, one in enumerate(networks)}
    problem = Problem(run.codebook, codes, accuracy, rows, times[0], times[1], cuts)
    edge, cloud = pairs[LINKS[0]].whole(codes)
    return Digits(trained, problem, counted, networks, pairs, (edge & counted, cloud & counted))


def together(digits: Digits, link: str, rows: Sequence[int]) -> list[Scores]:
    """Return the plans of a pair that evaluated some networks."""
    pair, ms = digits.pairs[link], digits.problem.request_ms(link)
    evaluations = [
        Evaluation(
            digits.networks[n],
            {pair.run.accuracy: float(digits.problem.accuracy[n]), pair.metric: float(ms[n])},
        )
        for n in rows
    ]
    singles = tier_front(evaluations, pair.tier)
    judged = judged_cascades(pair, evaluations, singles, digits.trained)
    alone = [
        {"accuracy": judged.accuracies[one.architecture.key].value, "ms": one.scores[pair.metric]} for one in singles
    ]
    return [*alone, *({"accuracy": one.accuracy.value, "ms": pair.cascade_ms(one)} for one in judged.cascades)]


def each_then_planned(digits: Digits, link: str, rows: tuple[Sequence[int], Sequence[int]]) -> list[Scores]:
    """Return the plans with the fronts of two tiers that evaluated some networks each."""
    pair, problem = digits.pairs[link], digits.problem
    times, sides = (problem.edge_ms, problem.cloud_ms), list[Side]()
    for tier, some, ms, within in zip(("edge", "cloud"), rows, times, digits.within, strict=True):
        kept = [n for n in some if within[n]]
        scores = [{"accuracy": float(problem.accuracy[n]), "ms": float(ms[n])} for n in kept]
        points = tuple(FrontPoint(digits.networks[kept[n]], scores[n]) for n in front(scores, OBJECTIVES))
        run = pair.run
        sides.append(
            side_of(run, LoadedFront("search", run.objectives.tier(tier), run.source, points, run.folder / "none"))
        )
    samples = HeldOutSamples(pair.run, digits.trained, MOST_SAMPLES)
    enumeration = Enumeration(sides[0], sides[1], pair.link.quick_draws(pair.run.experiment.seed), samples)
    best, plans = problem.request_ms(link), list[Scores]()
    for side in sides:
        for key, point in side.points.items():
            ms_of = float(best[problem.row[key]])
            plans.append({"accuracy": enumeration.accuracy(side, point).value, "ms": ms_of})
    return [*plans, *({"accuracy": one.accuracy.value, "ms": pair.cascade_ms(one)} for one in enumeration.cascades())]


def compared(digits: Digits, link: str, both: tuple[Sequence[Scores], Sequence[Scores]]) -> dict[str, float]:
    """Return what searching together gains: in hypervolume, as a share of that of both, and in the best accuracy of
    plans that are as fast as the edge alone may be."""
    every = [*both[0], *both[1]]
    reference = reference_point([every[n] for n in front(every, OBJECTIVES)], OBJECTIVES)
    whole = hypervolume(every, OBJECTIVES, reference)
    soon = float(digits.problem.edge_ms[digits.within[0]].max())
    volumes_of = [hypervolume(some, OBJECTIVES, reference) / whole for some in both]
    accurate = [max(one["accuracy"] for one in some if one["ms"] <= soon) for some in both]
    return {"hypervolume": volumes_of[0] - volumes_of[1], "accuracy_without_waiting": accurate[0] - accurate[1]}


def main() -> None:
    """Search, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--accuracies", type=Path, default=Path("digits_accuracies.npy"))
    parser.add_argument("--narrow-stem", action="store_true", help="only networks with a stem of 4 channels")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(arguments.run, folder, ignore=shutil.ignore_patterns("plans", "bundle"))
        digits = opened(folder, arguments.accuracies, arguments.narrow_stem)
        facts = {"networks": int(digits.counted.sum()), "evaluations": budget(digits), "seeds": arguments.seeds}
        smooth = without_chance(digits, arguments.seeds)
        links = over_links(digits, arguments.seeds)
    publish(stamped({**facts, "accuracies_without_chance": smooth, "links": links}), arguments.output)


def budget(digits: Digits) -> int:
    """Return the number of evaluations of a search."""
    return int(SHARE * digits.counted.sum())


def pair_rows(digits: Digits, problem: Problem, link: str, seed: int) -> list[int]:
    """Return the networks that a search of a pair evaluates."""
    cost, within = problem.request_ms(link), None if digits.counted.all() else digits.counted
    rows = searched(problem, cost, budget(digits), seed, unwanted=PAIRS_UNWANTED, within=within)
    return [row for row in rows if digits.counted[row]]


def without_chance(digits: Digits, seeds: int) -> dict[str, Any]:
    """Return what a search finds where each accuracy is that which a model of all other networks predicts."""
    some, codes = digits.counted, digits.problem.codes
    columns = np.concatenate([codes[:, [n]] == np.unique(codes[:, n]) for n in range(codes.shape[1])], axis=1)
    accuracy, smooth = digits.problem.accuracy[some], digits.problem.accuracy.copy()
    folds = KFold(5, shuffle=True, random_state=0)
    smooth[some] = cross_val_predict(HistGradientBoostingRegressor(max_iter=300), columns[some], accuracy, cv=folds)
    problem = replace(digits.problem, accuracy=smooth)
    share, facts = volumes(problem, LINKS[0], digits.counted)
    shares = [share(pair_rows(digits, problem, LINKS[0], seed)) for seed in range(seeds)]
    print("without chance", shares, flush=True)
    images = len(digits.pairs[LINKS[0]].run.dataset.validation)
    chance = smooth[some] - accuracy
    return {
        "validation_images": images,
        "different_accuracies": len(np.unique(accuracy)),
        "left_by_the_model_images": float(images * chance.std()),
        "explained_share": float(1 - chance.var() / accuracy.var()),
        "brute_force": facts,
        "hypervolume_share": summary(shares),
    }


def summary(shares: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    """Return means with their intervals, and the least, by reference point."""
    return {
        name: {"mean": interval([one[index] for one in shares]), "least": min(one[index] for one in shares)}
        for index, name in enumerate(("beyond_the_front", "beyond_all_networks", "worst_tenth_left_out"))
    }


def over_links(digits: Digits, seeds: int) -> dict[str, Any]:
    """Return what searches find over each link."""
    judges = {link: volumes(digits.problem, link, digits.counted) for link in LINKS}
    shares: dict[str, list[tuple[float, ...]]] = {link: [] for link in LINKS}
    gains: dict[str, list[dict[str, float]]] = {link: [] for link in LINKS}
    times = digits.problem.edge_ms, digits.problem.cloud_ms
    for seed in range(seeds):
        edge, cloud = (
            searched(digits.problem, ms, budget(digits) // 2, seed, within=within)
            for ms, within in zip(times, digits.within, strict=True)
        )
        for link in LINKS:
            rows = pair_rows(digits, digits.problem, link, seed)
            shares[link].append(judges[link][0](rows))
            both = together(digits, link, rows), each_then_planned(digits, link, (edge, cloud))
            gains[link].append(compared(digits, link, both))
            print(link, seed, [round(one, 4) for one in shares[link][-1]], gains[link][-1], flush=True)
    return {
        link: {
            "brute_force": judges[link][1],
            "hypervolume_share": summary(shares[link]),
            "gain_with_cascades": {name: interval([one[name] for one in gains[link]]) for name in gains[link][0]},
        }
        for link in LINKS
    }


if __name__ == "__main__":
    main()
