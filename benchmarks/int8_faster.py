"""Is int8 faster? By the shipped once-for-all tables, and what it is worth to search with the precision.

    python benchmarks/int8_faster.py --workers 2 --output docs/results/int8_faster.json
    python benchmarks/int8_faster.py --seeds 0                                    # the tables alone: seconds

The tables (`xeon|epyc_onnxruntime_fp32|int8_1t_ofa224`) were measured with ONNX Runtime, one thread, batch 1; int8 has
unsigned activations. No network of the population was timed: latencies are predicted, by the latency model (which was
corrected by 20 networks that were timed whole), or by plain sums of the rows' medians.

Networks are drawn in two ways: `architectures`: each architecture alike, most of which are deep; `choices`: uniform at
each choice, so that shallow networks are as frequent as deep ones. Which networks are compared matters more to the
agreement than the model does.

The JSON: `spearman`: agreement of the latencies of random networks, by way of drawing, model and pair of set-ups;
`operators`: of each machine, how many are slower in int8, and the range of int8/fp32; `equal_fp32`: networks of equal
latency in fp32, and the range of their latencies in int8; `search`: by machine and made-up accuracy, for each seed, the
gain in hypervolume over three ways that know fp32 alone, in accuracy and latency as it is deployed.

Ways that know int8:

- `both`: 300 trials of `guided` that choose an architecture and a precision;
- `int8`: 300 trials in int8.

Ways that do not:

- `quantized`: 300 trials in fp32; the front's networks, all in int8;
- `faster`: the same front, each network in the precision in which it is faster;
- `resolved`: all 300 networks of that search, each in the precision in which it is faster.

Searches are kept in `--folder`: what is there is not made again, so that the command may be ended and repeated.

Two reference points: `wide`, just worse than all points of the fronts that are compared; `wanted`, the same without
the networks that `guided` leaves out, those of an accuracy in the worst tenth of random ones.

Accuracies are made-up functions of the network (benchmarks/ofa_predictors.py), nobody's accuracy, and taken to be the
same in int8: what is compared is latency. Those of `additive`, `effects_and_pairs` and `hidden_layer` grow with
kernels, widths and depths as real ones do; `three_layers`, of the form of once-for-all's own predictor with random
weights, hardly does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped
from numpy.typing import NDArray
from ofa_predictors import PREDICTORS, predictor
from scipy.stats import spearmanr

from hwnas.io.atomic import write_file
from hwnas.io.resources import find_file
from hwnas.latency.model import LatencyModel
from hwnas.measure.table import LatencyTable, read_table, row_key
from hwnas.network import known_operators
from hwnas.pareto import Objective, Tier, front, hypervolume, reference_point
from hwnas.population import Codebook, Codes, codebook_of
from hwnas.search.evaluate import evaluate
from hwnas.search.precision import PrecisionSpace, split_candidate
from hwnas.search.precision.coded import by_precision, with_precisions
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, candidates_of
from hwnas.search.surrogate.acquisition import UNWANTED
from hwnas.space import Architecture, read_space

SPACE, TABLE = "ofa_mobilenet_v3_224", "{}_onnxruntime_{}_1t_ofa224"
MACHINES, PRECISIONS = ("xeon", "epyc"), ("fp32", "int8")
NETWORKS, TRIALS = 3_000, 300
AWARE, UNAWARE = ("both", "int8"), ("quantized", "faster", "resolved")
EQUAL = 0.01
"""Largest relative difference of latencies that are taken as equal."""
TIER = Tier("phone", (Objective("accuracy", "max"), Objective("latency_ms", "min")))
Floats = NDArray[np.float64]
Latency = Callable[[Codes], Floats]
Points = list[dict[str, float]]


class Tables:
    """The shipped tables with their latency models."""

    def __init__(self) -> None:
        self.space = read_space(find_file(SPACE, "search_spaces"))
        self.codebook: Codebook = codebook_of(self.space)
        names = [(machine, precision) for machine in MACHINES for precision in PRECISIONS]
        self.tables = {name: read_table(find_file(TABLE.format(*name), "latency_tables")) for name in names}
        operators = known_operators(self.space)
        self.models = {name: LatencyModel.of(table, operators=operators) for name, table in self.tables.items()}

    def latency(self, machine: str, precision: str) -> Latency:
        """Latencies of networks in ms, by the latency model."""
        constant_ms, effective_ms = self.models[machine, precision].linear(self.codebook.links)
        return lambda codes: constant_ms + self.codebook.total(codes, effective_ms)

    def sums(self, machine: str, precision: str, codes: Codes) -> Floats:
        """Latencies of networks in ms, as plain sums of the rows' medians."""
        rows = self.tables[machine, precision].rows
        medians = [rows[row_key(*link)].median_ms for link in self.codebook.links]
        summed: Floats = self.codebook.total(codes, medians)
        return summed


def drawn(codebook: Codebook, networks: int) -> dict[str, Codes]:
    """Random networks, by the way of drawing."""
    rng, sizes = np.random.default_rng(0), [len(choice.options) for choice in codebook.choices]
    alike = codebook.draw(networks, rng)
    return {"architectures": alike, "choices": codebook.canonical(rng.integers(sizes, size=(networks, len(sizes))))}


def agreement(ms: dict[tuple[str, str], Floats]) -> dict[str, float]:
    """Spearman's correlation of latencies, by pair of set-ups."""
    return {
        f"{' '.join(one)} ~ {' '.join(other)}": round(float(spearmanr(ms[one], ms[other])[0]), 3)
        for one, other in combinations(ms, 2)
    }


def ratios(fp32: LatencyTable, int8: LatencyTable) -> dict[str, Any]:
    """int8 / fp32 of the operators, and of the networks that were timed whole."""
    both = {key: int8.rows[key].median_ms / row.median_ms for key, row in fp32.rows.items() if key in int8.rows}
    slow = max(both, key=both.__getitem__)
    fast = min(both, key=both.__getitem__)
    whole = [int8.checks[key].median_ms / one.median_ms for key, one in fp32.checks.items() if key in int8.checks]
    return {
        "operators": len(both),
        "slower_in_int8": sum(ratio > 1 for ratio in both.values()),
        "least": {"ratio": round(both[fast], 3), "operator": str(fast)},
        "most": {"ratio": round(both[slow], 3), "operator": str(slow)},
        "networks_timed": len(whole),
        "networks_slower_in_int8": sum(ratio > 1 for ratio in whole),
        "network_ratios": [round(min(whole), 3), round(max(whole), 3)],
    }


def equal_in_fp32(fp32: Floats, int8: Floats) -> dict[str, Any]:
    """Networks of equal latency in fp32, where most are, and their latencies in int8."""
    center = round(float(np.median(fp32)), 1)
    near = np.abs(fp32 / center - 1) <= EQUAL
    low, five, ninety_five, high = np.quantile(int8[near], [0, 0.05, 0.95, 1])
    return {
        "fp32_ms": center, "within": EQUAL, "networks": int(near.sum()),
        "int8_ms": [round(float(low), 2), round(float(high), 2)],
        "int8_ms_5_to_95": [round(float(five), 2), round(float(ninety_five), 2)],
    }  # fmt: skip


# --- searches ---


@dataclass(frozen=True)
class Race:
    """A search: on a machine, for a made-up accuracy, with a seed, in these precisions."""

    machine: str
    predictor: str
    seed: int
    precisions: tuple[str, ...]
    trials: int

    @property
    def name(self) -> str:
        return f"{self.machine}-{self.predictor}-{self.seed}-{'-'.join(self.precisions)}-{self.trials}"


def searched(tables: Tables, race: Race) -> list[Architecture]:
    """The candidates of a guided search."""
    codebook, precisions = tables.codebook, race.precisions
    score = predictor(race.predictor, codebook, race.seed)
    latencies = [tables.latency(race.machine, precision) for precision in precisions]
    candidates, known, space = candidates_of(codebook), latencies[0], tables.space
    if len(precisions) > 1:
        candidates, known = with_precisions(candidates, precisions), by_precision(latencies)
        space = PrecisionSpace(space, precisions)
    plan = StudySpec(space, TIER, "guided", seed=race.seed, guide=Acquisition(candidates, [known]))
    by_name = dict(zip(precisions, latencies, strict=True))

    def latency_of(candidate: Architecture) -> float:
        architecture, precision = split_candidate(candidate)
        return float(by_name[precision or precisions[0]](codebook.encode([architecture]))[0])

    def accuracy_of(candidate: Architecture) -> float:
        return float(score(codebook.encode([split_candidate(candidate)[0]]))[0])

    scorers = {"latency_ms": latency_of, "accuracy": accuracy_of}
    study = open_study(plan)
    study.run(lambda candidate: evaluate(candidate, scorers, TIER), race.trials)
    return [evaluation.architecture for evaluation in study.evaluations]


def kept(race: Race, folder: Path) -> dict[str, Any]:
    """The codes and precisions that a search tried, in order, and its CPU seconds; made once, then read."""
    path = folder / f"{race.name}.json"
    if not path.exists():
        tables, started = Tables(), time.process_time()
        tried = [split_candidate(one) for one in searched(tables, race)]
        entry = {
            "codes": tables.codebook.encode([architecture for architecture, _ in tried]).tolist(),
            "int8": [(precision or race.precisions[0]) == "int8" for _, precision in tried],
            "cpu_seconds": round(time.process_time() - started, 1),
        }
        write_file(path, json.dumps(entry))
        print(f"{race.name}: {entry['cpu_seconds']} s", file=sys.stderr, flush=True)
    return dict(json.loads(path.read_text()))


def races(machine: str, name: str, seed: int, trials: int) -> dict[str, Race]:
    """The searches of a seed, by way."""
    ways = {"both": PRECISIONS, "int8": ("int8",), "fp32": ("fp32",)}
    return {way: Race(machine, name, seed, precisions, trials) for way, precisions in ways.items()}


def deployed(tables: Tables, machine: str, name: str, seed: int, trials: int, folder: Path) -> dict[str, Points]:
    """The points of each way: accuracies, and latencies in the precision in which networks are deployed."""
    score = predictor(name, tables.codebook, seed)
    fp32, int8 = (tables.latency(machine, precision) for precision in PRECISIONS)
    made = {way: kept(race, folder) for way, race in races(machine, name, seed, trials).items()}
    joint, lower, alone = (np.array(made[way]["codes"]) for way in ("both", "int8", "fp32"))
    chosen = np.where(made["both"]["int8"], int8(joint), fp32(joint))
    accuracy, slow, fast = score(alone), fp32(alone), int8(alone)
    on_front, best = front(points(accuracy, slow), TIER.objectives), np.minimum(slow, fast)
    return {
        "both": points(score(joint), chosen),
        "int8": points(score(lower), int8(lower)),
        "quantized": points(accuracy[on_front], fast[on_front]),
        "faster": points(accuracy[on_front], best[on_front]),
        "resolved": points(accuracy, best),
    }


def points(accuracy: Floats, latency: Floats) -> Points:
    """Scores by metric."""
    pairs = zip(accuracy.tolist(), latency.tolist(), strict=True)
    return [{"accuracy": one, "latency_ms": ms} for one, ms in pairs]


def corners(tables: Tables, name: str, seed: int, fronts: dict[str, Points]) -> dict[str, dict[str, float]]:
    """The reference points: just worse than all fronts, and the same without the networks that `guided` does not want:
    those below the worst tenth of random ones in accuracy."""
    wide = reference_point([point for of in fronts.values() for point in of], TIER.objectives)
    random = predictor(name, tables.codebook, seed)(tables.codebook.draw(NETWORKS, np.random.default_rng(0)))
    return {"wide": dict(wide), "wanted": {**wide, "accuracy": float(np.quantile(random, UNWANTED))}}


def raced(tables: Tables, machine: str, name: str, seeds: int, trials: int, folder: Path) -> dict[str, Any]:
    """All ways with every seed, which is that of the search and of the made-up accuracy."""
    rows = []
    for seed in range(seeds):
        ways = deployed(tables, machine, name, seed, trials, folder)
        fronts = {way: [of[index] for index in front(of, TIER.objectives)] for way, of in ways.items()}
        gains: dict[str, Any] = {}
        for corner, at in corners(tables, name, seed, fronts).items():
            volumes = {way: hypervolume(of, TIER.objectives, at) for way, of in fronts.items()}
            gains[corner] = {way: {of: round(volumes[way] / volumes[of] - 1, 4) for of in UNAWARE} for way in AWARE}
        seconds = {way: kept(race, folder)["cpu_seconds"] for way, race in races(machine, name, seed, trials).items()}
        rows.append({"seed": seed, "gain": gains, "on_front": {way: len(of) for way, of in fronts.items()},
                     "cpu_seconds": seconds})  # fmt: skip
    summary = {
        corner: {way: {of: summed([row["gain"][corner][way][of] for row in rows]) for of in UNAWARE} for way in AWARE}
        for corner in ("wide", "wanted")
    }
    return {"summary": summary, "seeds": rows}


def summed(gains: list[float]) -> dict[str, float]:
    """Median, least and most, and how many are 5 % and more."""
    median, least, most = (round(float(of(gains)), 4) for of in (np.median, np.min, np.max))
    return {"median": median, "least": least, "most": most, "at_least_5_percent": sum(gain >= 0.05 for gain in gains)}


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--machines", nargs="+", choices=MACHINES, default=["xeon"], help="searched for")
    parser.add_argument("--predictors", nargs="+", choices=PREDICTORS, default=["additive", "hidden_layer"])
    parser.add_argument("--workers", type=int, default=1, help="searches at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs/int8_faster"), help="of searches, each made once")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    tables = Tables()
    populations = drawn(tables.codebook, asked.networks)
    modelled = {way: {of: tables.latency(*of)(codes) for of in tables.tables} for way, codes in populations.items()}
    summed = {way: {of: tables.sums(*of, codes) for of in tables.tables} for way, codes in populations.items()}
    result = {
        "command": shlex.join(["python", "benchmarks/int8_faster.py", *sys.argv[1:]]),
        "space": SPACE, "networks": asked.networks,
        "spearman": {
            way: {"latency_model": agreement(modelled[way]), "plain_sums": agreement(summed[way])}
            for way in populations
        },
        "operators": {one: ratios(*(tables.tables[one, of] for of in PRECISIONS)) for one in MACHINES},
        "equal_fp32": {
            way: {one: equal_in_fp32(ms[one, "fp32"], ms[one, "int8"]) for one in MACHINES}
            for way, ms in modelled.items()
        },
    }  # fmt: skip
    if asked.seeds:
        asked.folder.mkdir(parents=True, exist_ok=True)
        pairs = [(machine, name) for machine in asked.machines for name in asked.predictors]
        todo = [
            race for seed in range(asked.seeds) for pair in pairs for race in races(*pair, seed, asked.trials).values()
        ]
        with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(partial(kept, folder=asked.folder), todo))
        result["search"] = {
            machine: {
                name: raced(tables, machine, name, asked.seeds, asked.trials, asked.folder) for name in asked.predictors
            }
            for machine in asked.machines
        }
        result["trials"] = asked.trials
    publish(stamped(result), asked.output)


if __name__ == "__main__":
    main()
