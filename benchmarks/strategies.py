"""How well each strategy's shared weights rank networks: inherited accuracy against that of networks trained alone.

    python benchmarks/strategies.py --json > strategies.json

A sample of networks of a space is trained alone, once. Then each strategy trains a supernet with the same number of
passes (an image through a network, forward and backward), and the networks inherit from it. Printed: Kendall's and
Spearman's correlation with their bootstrap intervals, and seconds. Accuracies are of validation images. Small data has
few of those, so differences of a percent are chance; the intervals say how much.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.data import Dataset, load_data
from hwnas.errors import HwnasError
from hwnas.network import lower
from hwnas.ranks import as_json, correlations
from hwnas.space import AnySpace, Architecture
from hwnas.supernet import STRATEGIES, Recipe, Step, Supernet, calibration_inputs, extract_recalibrated, quality, train
from hwnas.supernet.strategies import open_strategy
from hwnas.supernet.training.standalone import train_standalone
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.spaces import open_space

RECIPE = Recipe(batch_size=64, learning_rate=0.1, augment="shift", weight_decay=5e-4, warm_up_epochs=0.5)


def lessons(space: AnySpace, recipe: Recipe) -> int:
    """Networks that a step trains in the last epoch."""
    last = Step(recipe.epochs, recipe.epochs, 1, 1, 0.0)
    return len(open_strategy(space, recipe)(last, random.Random(0)))


def alone(space: AnySpace, sample: Sequence[Architecture], data: Dataset, epochs: int, seed: int) -> list[float]:
    """What each network reaches by itself."""
    found = []
    for number, architecture in enumerate(sample, 1):
        network = lower(space, architecture)
        module = train_standalone(network, data, replace(RECIPE, epochs=epochs), seed=seed)
        found.append(quality(module, network, data.validation))
        print(f"alone {number}/{len(sample)}: {found[-1]:.3f}", file=sys.stderr, flush=True)
    return found


def inherited(
    space: AnySpace, sample: Sequence[Architecture], data: Dataset, recipe: Recipe, seed: int
) -> tuple[list[float], float]:
    """What the networks reach with the weights of a supernet, and the seconds of training it."""
    supernet, start = Supernet(space, seed=seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        train(supernet, space, data, recipe, Path(folder), seed=seed)
    seconds = time.monotonic() - start
    images = calibration_inputs(data, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    networks = [lower(space, architecture) for architecture in sample]
    return [quality(extract_recalibrated(supernet, one, images), one, data.validation) for one in networks], seconds


def judged(
    space: AnySpace, sample: Sequence[Architecture], data: Dataset, reached: list[float], asked: argparse.Namespace
) -> dict[str, Any]:
    """By strategy, how its accuracies rank the sample."""
    found = {}
    for name in asked.strategies:
        recipe = replace(RECIPE, strategy=name, epochs=asked.passes)
        count = lessons(space, recipe)
        recipe = replace(recipe, epochs=max(1, round(asked.passes / count)))
        scores, seconds = inherited(space, sample, data, recipe, asked.seed)
        ranks = as_json(correlations(scores, reached))
        found[name] = {
            "networks_a_step": count, "epochs": recipe.epochs, "seconds": round(seconds, 1),
            **ranks, "inherited": [round(score, 4) for score in scores],
        }  # fmt: skip
        print(f"{name}: {ranks}", file=sys.stderr, flush=True)
    return found


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """The report."""
    space, _ = open_space(asked.space)
    data = load_data(asked.data, seed=asked.seed).without_test()
    rng = random.Random(asked.seed)
    sample = [space.random(rng) for _ in range(asked.networks)]
    reached = alone(space, sample, data, asked.epochs, asked.seed)
    return {
        "command": shlex.join(["python", "benchmarks/strategies.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "space": space.name,
        "data": data.name,
        "validation_images": len(data.validation),
        "seed": asked.seed,
        "epochs_alone": asked.epochs,
        "passes": asked.passes,
        "alone": [round(score, 4) for score in reached],
        "strategies": judged(space, sample, data, reached, asked),
    }


def table(report: dict[str, Any]) -> str:
    """The correlations, a strategy a line."""
    lines = [f"{'strategy':12} {'networks a step':>15} {'epochs':>6} {'seconds':>7}  Kendall (interval)"]
    for name, one in report["strategies"].items():
        kendall = one["kendall"]
        told = "none" if kendall is None else " ".join(f"{part}" for part in kendall.values())
        lines.append(f"{name:12} {one['networks_a_step']:15} {one['epochs']:6} {one['seconds']:7}  {told}")
    return "\n".join(lines)


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=8, help="of each network alone")
    parser.add_argument("--passes", type=int, default=120, help="epochs times networks a step, of each supernet")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    try:
        report = run(asked)
    except HwnasError as error:
        sys.exit(str(error))
    print(json.dumps(report, indent=1) if asked.json else table(report))


if __name__ == "__main__":
    main()
