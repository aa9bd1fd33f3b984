"""How good the picks of a front are when accuracies are noisy: by the scores themselves, and by shrunken estimates.

    python benchmarks/picks_under_noise.py --accuracy nasbench201_cifar10.npz --latency nasbench201_help_ms.csv.gz

writes docs/results/picks_under_noise.json. Three ways are compared on the same evaluated networks: `scores` (the front
and its picks by the scores), `picks` (that front, its picks by shrunken estimates) and `front` (both by estimates, as
hwnas does). What is told of each: the test accuracy of the picks, and the front's hypervolume in test accuracy, as a
share of that of all evaluated networks; each with its mean gain over `scores` and a 95 % interval.

- NAS-Bench-201: 150 networks, at random or of the best 3,000. A validation accuracy is a binomial draw of so many
  images from that of one training; the test accuracy is the mean over trainings.
- Digits: a search of 150 trials on each of 20 splits, with the weights of a supernet that is trained for it. It takes
  half an hour; what a split gave is kept in the folder `--digits`, and `--splits` alone leaves it out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from _digits_searches import ACCURACY, COST, EPOCHS, TIER, searched
from nb201_table import read_table
from numpy.typing import NDArray

from hwnas.io.atomic import write_file
from hwnas.io.resources import find_file
from hwnas.notation import read_architecture
from hwnas.pareto import Scores, hypervolume, picks, reference_point
from hwnas.population import Codebook, codebook_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import tier_front
from hwnas.search.shrinkage import shrunken
from hwnas.space import Architecture, read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
NETWORKS, GOOD, DEVICE = 150, 3000, "raspi4"
WAYS = ("scores", "picks", "front")
Row = dict[str, float]
"""What one way gave on one sample, by name."""


def judged(
    evaluations: Sequence[Evaluation], tests: Mapping[str, float], images: int, codebook: Codebook
) -> dict[str, Row]:
    """What each way gives on evaluated networks, by its name."""
    chances = {e.architecture.key: e.scores[ACCURACY] for e in evaluations}
    errors = {key: (p * (1 - p) / images) ** 0.5 for key, p in chances.items()}
    estimates = shrunken(evaluations, TIER.quality, errors, codebook)
    fronts = {
        "scores": [e.architecture.key for e in tier_front(evaluations, TIER)],
        "front": [e.architecture.key for e in tier_front(evaluations, TIER, estimates=estimates)],
    }
    fronts["picks"] = fronts["scores"]
    costs = {e.architecture.key: e.scores[COST] for e in evaluations}
    competing = [e.architecture.key for e in evaluations if e.competes(TIER)]
    true: dict[str, Scores] = {key: {ACCURACY: tests[key], COST: costs[key]} for key in competing}
    reference = reference_point(list(true.values()), TIER.objectives)
    whole = hypervolume(list(true.values()), TIER.objectives, reference)
    result = {}
    for way, keys in fronts.items():
        shown = {key: chances[key] if way == "scores" or key not in estimates else estimates[key].value for key in keys}
        chosen = picks([{ACCURACY: shown[key], COST: costs[key]} for key in keys], TIER.objectives)
        result[way] = {
            "hypervolume": hypervolume([true[key] for key in keys], TIER.objectives, reference) / whole,
            "networks": float(len(keys)),
            **{f"{name} test": tests[keys[place]] for name, place in chosen.items()},
            **{f"{name} cost": costs[keys[place]] for name, place in chosen.items()},
            "best, told over test": shown[keys[chosen["best"]]] - tests[keys[chosen["best"]]],
        }
    return result


def summary(samples: Sequence[Mapping[str, Row]]) -> dict[str, Any]:
    """Means of each way, and mean gains over `scores` with half the width of their 95 % intervals."""
    told: dict[str, Any] = {"samples": len(samples)}
    for way in WAYS:
        told[way] = {name: round(float(np.mean([one[way][name] for one in samples])), 5) for name in samples[0][way]}
    for way in WAYS[1:]:
        gains = {name: np.array([one[way][name] - one["scores"][name] for one in samples]) for name in samples[0][way]}
        told[f"gain of {way}"] = {
            name: [round(float(gain.mean()), 5), round(float(1.96 * gain.std(ddof=1) / len(gain) ** 0.5), 5)]
            for name, gain in gains.items()
            if not name.endswith("cost")
        }
    return told


def nas_bench_201(asked: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each setting with its summary."""
    space = read_space(find_file("nas_bench_201", "search_spaces"))
    codebook = codebook_of(space)
    one_seed = read_table(asked.accuracy, "val_cifar10", asked.latency, DEVICE)
    tests = read_table(asked.accuracy, "test_cifar10", asked.latency, DEVICE).accuracy / 100
    validation, rows = one_seed.accuracy / 100, np.flatnonzero(one_seed.measured)
    good = rows[np.argsort(-validation[rows])[:GOOD]]

    def sample(pool: NDArray[np.intp], images: int, rng: np.random.Generator) -> dict[str, Row]:
        known: dict[str, tuple[Architecture, int]] = {}
        for row in rng.choice(pool, NETWORKS, replace=False):
            architecture = read_architecture(space, one_seed.names[row], where=str(asked.accuracy))
            known.setdefault(architecture.key, (architecture, int(row)))
        evaluations = [
            Evaluation(
                architecture,
                {ACCURACY: float(rng.binomial(images, validation[row])) / images, COST: float(one_seed.cost[row])},
            )
            for architecture, row in known.values()
        ]
        return judged(evaluations, {key: float(tests[row]) for key, (_, row) in known.items()}, images, codebook)

    for name, pool in (("random", rows), ("good", good)):
        for images in asked.images:
            rng = np.random.default_rng(asked.seed)
            yield f"{name}, {images} images", summary([sample(pool, images, rng) for _ in range(asked.samples)])


def digits(asked: argparse.Namespace) -> dict[str, Any]:
    """The summary over splits."""
    codebook, samples = codebook_of(read_space(find_file("digits", "search_spaces"))), []
    for split in asked.splits:
        kept = searched(split, asked.digits)
        architectures = [
            Architecture(raw["space"], tuple(sorted(raw["picks"].items()))) for raw in kept["architectures"]
        ]
        evaluations = [Evaluation(*pair) for pair in zip(architectures, kept["scores"], strict=True)]
        tests = {one.key: test for one, test in zip(architectures, kept["test"], strict=True)}
        samples.append(judged(evaluations, tests, kept["validation_images"], codebook))
        print(f"split {split}: {samples[-1]}", file=sys.stderr, flush=True)
    return {"epochs": EPOCHS, "splits": asked.splits, **summary(samples)}


def run(asked: argparse.Namespace, write: Callable[[dict[str, Any]], None]) -> None:
    """Compare, and write what is there after each setting."""
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/picks_under_noise.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "networks": NETWORKS,
        "device": DEVICE,
        "nas_bench_201": {},
    }
    for setting, told in nas_bench_201(asked):
        report["nas_bench_201"][setting] = told
        print(f"{setting}: {told}", file=sys.stderr, flush=True)
        write(report)
    if asked.splits:
        write(report | {"digits": digits(asked)})


def main() -> None:
    """Read the arguments, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=Path, required=True, help="val_cifar10 and test_cifar10, in percent")
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=40, help="of networks, in each setting of NAS-Bench-201")
    parser.add_argument("--images", type=int, nargs="+", default=[359, 2000])
    parser.add_argument("--splits", type=int, nargs="*", default=list(range(20)), help="seeds of splits of digits")
    parser.add_argument("--digits", type=Path, default=Path("runs/picks_under_noise"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/picks_under_noise.json")
    asked = parser.parse_args()
    run(asked, lambda report: write_file(asked.out, json.dumps(report, indent=1) + "\n"))


if __name__ == "__main__":
    main()
