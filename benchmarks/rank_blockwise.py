"""Rank correlation of blockwise scores with the accuracies of sub-networks of a trained network, on digits.

    python benchmarks/rank_blockwise.py --output docs/results/rank_blockwise.json

For each seed a residual network (ResNet-20's widths and depths, on images of 8x8) is trained on the digits of
scikit-learn and opened, its blocks are distilled, and random assemblies are drawn. Each one's blockwise score is held
against three accuracies on images that nothing was trained on: of the slice of the trained network with statistics of
its own, of its distilled blocks put together, and after it was trained on from the slice for `--epochs` with the
network as its teacher. Beside the score stand the sum of the roots of its parts (a divergence grows with the square of
what outputs differ by), and what needs no data: multiply-adds. What is finished is kept in `--folder`: the command
continues.
"""

from __future__ import annotations

import argparse
import random
from math import sqrt
from pathlib import Path
from typing import Any

import torch
import yaml
from _resnet20 import accuracy, for_digits, trained
from _results import publish, stamped
from prune_resnet20 import kept, tuned
from scipy.stats import spearmanr
from torch.nn import functional

from hwnas import pipeline
from hwnas.accuracy.blockwise import BlockwiseAccuracy, blockwise
from hwnas.accuracy.inherited import inherited
from hwnas.data import Split, load_data
from hwnas.network import build, costs
from hwnas.problem.accuracy import accuracy_context
from hwnas.space import Architecture
from hwnas.workspace.training.supernets import untrained
from hwnas.workspace.workspace import Workspace

HERE = Path(__file__).resolve().parent
RATE = 0.1


def experiment(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The experiment of a seed."""
    return {
        "name": f"seed_{seed}",
        "space": {
            "network": f"{HERE / '_resnet20.py'}:for_digits",
            "weights": str(args.folder / f"base_{seed}.pt"),
        },
        "data": {"name": "digits"},
        "seed": seed,
        "threads": 1,
        "accuracy": {"source": "blockwise", "epochs": args.block_epochs},
        "train": {"epochs": args.epochs, "learning_rate": RATE, "label_smoothing": 0.0, "teacher": "network"},
        "setups": {"cpu": {"runtime": "onnxruntime"}},
        "tiers": {"cpu": {"setup": "cpu"}},
    }


def opened(args: argparse.Namespace, seed: int) -> tuple[Workspace, torch.nn.Module]:
    """The run of a seed, and its trained network."""
    raw = experiment(args, seed)
    dataset = load_data(raw["data"], seed=seed)
    torch.manual_seed(seed)
    file = args.folder / f"base_{seed}.pt"
    base = trained(for_digits()[0], dataset, args.base_epochs, rate=RATE, seed=seed, file=file)
    path = args.folder / f"seed_{seed}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return pipeline.open_run(path, runs=args.folder / "runs"), base


def judged(module: torch.nn.Module, splits: tuple[Split, ...]) -> dict[str, float]:
    """Accuracy and mean cross-entropy on images that nothing was trained on."""
    count = sum(len(split) for split in splits)
    with torch.inference_mode():
        loss = sum(
            float(functional.cross_entropy(module(split.every()), split.targets, reduction="sum")) for split in splits
        )
    return {
        "top1": sum(accuracy(module, split) * len(split) for split in splits) / count,
        "cross_entropy": loss / count,
    }


def assembly(
    args: argparse.Namespace, run: Workspace, base: torch.nn.Module, score: BlockwiseAccuracy, drawn: Architecture
) -> dict[str, Any]:
    """Score and accuracies of one sub-network."""
    network, splits = run.network(drawn), (run.dataset.validation, run.dataset.test)
    folder = args.folder / "trained" / f"{run.experiment.name}_{drawn.key}"
    own = inherited(accuracy_context(run, untrained(run))).settled(network)
    return {
        "key": drawn.key,
        "macs": costs(network).macs,
        "score": score(drawn),
        "sliced": judged(own, splits),
        "distilled": judged(score.assembled(network), splits),
        "trained": judged(tuned(run, build(network), args.epochs, base, folder), splits),
    }


def correlations(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Spearman's correlations over the sub-networks of a seed; of losses with their sign turned."""
    found: dict[str, dict[str, float]] = {}
    for by in ("score", "roots", "macs"):
        values = [row[by] for row in rows]
        for kind in ("sliced", "distilled", "trained"):
            for measure, sign in (("top1", 1), ("cross_entropy", -1)):
                other = [sign * row[kind][measure] for row in rows]
                found.setdefault(by, {})[f"{kind} {measure}"] = round(float(spearmanr(values, other).statistic), 3)
    return found


def of_seed(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """All sub-networks of a seed with the correlations over them."""
    run, base = opened(args, seed)
    score, rng = blockwise(accuracy_context(run, untrained(run))), random.Random(seed)
    rows = []
    for number in range(args.networks):
        drawn = run.space.random(rng)
        rows.append(
            kept(
                args.folder / f"assembly_{seed}_{number}.json",
                lambda drawn=drawn: assembly(args, run, base, score, drawn),  # type: ignore[misc]
            )
            | {"roots": -sum(map(sqrt, score.parts(drawn).values()))}
        )
    splits = run.dataset.validation, run.dataset.test
    return {
        "network": judged(base, splits),
        "images": sum(map(len, splits)),
        "spearman": correlations(rows),
        "networks": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "rank_blockwise")
    parser.add_argument("--base-epochs", type=int, default=12)
    parser.add_argument("--block-epochs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    seeds = [of_seed(args, seed) for seed in range(args.seeds)]
    settings = {name: getattr(args, name) for name in ("base_epochs", "block_epochs", "epochs")}
    publish(stamped({**settings, "seeds": seeds}), args.output)


if __name__ == "__main__":
    main()
