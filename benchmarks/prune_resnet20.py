"""ResNet-20 on CIFAR-10 made 30 % faster where it runs, beside Torch-Pruning and uniform width at equal FLOPs.

    pip install --no-deps --target packages torch-pruning
    PYTHONPATH=packages nice python benchmarks/prune_resnet20.py --output docs/results/prune_resnet20.json

The network is trained once (`--epochs`), which its state in `--folder` keeps. For each seed it is opened, its blocks
are distilled, and the front of widths and depth is searched under a limit on latency, 0.7 of what the network itself
takes in ONNX Runtime with one thread, timed as a whole. The best network is trained on for a quarter of the epochs,
with the network as its teacher, and exported. Torch-Pruning cuts the same network to as many FLOPs by magnitude, over
all layers and by one ratio in each, which is uniform width; both are trained on with the same recipe. All files are
timed together at the end, interleaved. What is finished is kept in the folder: the command continues. `--stage` does
one stage alone: all but `train` measure, the search its front, and want a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from _cifar10 import some_images
from _resnet20 import ResNet20, accuracy, trained
from _results import publish, stamped
from torch import nn

from hwnas import pipeline
from hwnas.accuracy.trained import finetuned
from hwnas.data import Dataset, load_data
from hwnas.export.onnx import export_onnx
from hwnas.measure.timing import Timing, measure
from hwnas.network import build
from hwnas.problem.accuracy import accuracy_context
from hwnas.runtimes import open_runtime
from hwnas.search.fronts import read_front
from hwnas.supernet.training.standalone import train_standalone
from hwnas.workspace.training.supernets import untrained
from hwnas.workspace.workspace import Workspace

SHAPE = (3, 32, 32)
SHARE = 0.7
RATE = 0.2
"""Peak rate of the training from scratch; `finetuned` takes a fifth of it."""
KINDS = ("ours", "torch_pruning", "uniform_width")
ROUNDS = 40
STAGES = ("train", "table", "search", "time")
HERE = Path(__file__).resolve().parent


def experiment(args: argparse.Namespace, seed: int, limit_ms: float | None) -> dict[str, Any]:
    """The experiment of a seed; without a limit, to time its rows."""
    tier: dict[str, Any] = {"setup": "cpu"}
    if limit_ms is not None:
        tier["limits"] = {"latency_ms": round(limit_ms, 4)}
    return {
        "name": f"seed_{seed}",
        "space": {"network": f"{HERE / '_resnet20.py'}:model", "weights": str(args.folder / "base.pt"), **args.space},
        "data": some_images(args.folder / "images.npz", train=args.images, test=args.test_images),
        "seed": seed,
        "threads": 1,
        "accuracy": {
            "source": "blockwise",
            "epochs": args.block_epochs,
            "calibration_batches": args.block_batches,
            "samples": 128,
        },
        "train": {
            "epochs": args.epochs,
            "learning_rate": RATE,
            "weight_decay": 5e-4,
            "label_smoothing": 0.0,
            "augment": "crop_flip",
            "precision": "bf16",
            "channels_last": True,
            "teacher": "network",
        },
        "setups": {"cpu": {"runtime": "onnxruntime", "table": str(args.folder / "rows.jsonl")}},
        "tiers": {"cpu": tier},
        "search": {"trials": 20, "sampler": "guided"},
        "export": {"formats": ["onnx"], "picks": ["best"], "fine_tune_epochs": args.tuned},
        "timing": {"rounds": ROUNDS, "processes": 3},
    }


def written(args: argparse.Namespace, seed: int, limit_ms: float | None) -> Path:
    """The experiment's file."""
    path: Path = args.folder / f"seed_{seed}.yaml"
    path.write_text(yaml.safe_dump(experiment(args, seed, limit_ms)))
    return path


def timed(files: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Latencies of files that are sampled in turn, and their ratios to the first's; tables hold the low quantile."""
    runtime = open_runtime("onnxruntime", threads=1)
    found = measure({name: runtime.load(file).invoke for name, file in files.items()}, Timing(rounds=rounds))
    first = found[next(iter(files))]
    return {
        name: {
            "median_ms": round(one.median_ms, 4),
            "low_ms": round(one.low_ms, 4),
            "ratio": round(one.median_ms / first.median_ms, 4),
            "low_ratio": round(one.low_ms / first.low_ms, 4),
        }
        for name, one in found.items()
    }


def macs(module: nn.Module) -> float:
    """Multiply-adds of a network, as Torch-Pruning counts them."""
    import torch_pruning

    counted, _ = torch_pruning.utils.count_ops_and_params(module, torch.zeros(1, *SHAPE))
    return float(counted)


def pruned(base: nn.Module, target: float, *, over_all: bool) -> nn.Module:
    """The network cut by Torch-Pruning to at most so many multiply-adds, its classes whole."""
    import torch_pruning

    low, high = 0.0, 0.9
    best = base
    for _ in range(10):
        ratio = (low + high) / 2
        module = ResNet20()
        module.load_state_dict(base.state_dict())
        torch_pruning.pruner.MagnitudePruner(
            module.eval(),
            torch.zeros(1, *SHAPE),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            global_pruning=over_all,
            max_pruning_ratio=0.9,
            ignored_layers=[module.linear],
        ).step()
        if macs(module) <= target:
            best, high = module, ratio
        else:
            low = ratio
    return best


def tuned(run: Workspace, start: nn.Module, epochs: int, teacher: nn.Module, folder: Path) -> nn.Module:
    """A network trained on by the recipe with which the export trains its pick on; a folder keeps its epochs."""
    context = accuracy_context(run, untrained(run))
    recipe = finetuned(replace(context, settings=replace(context.settings, epochs=epochs))).recipe
    network = run.network(run.space.largest())
    return train_standalone(
        network,
        run.dataset.without_test(),
        recipe,
        seed=run.experiment.seed,
        start=start,
        folder=folder,
        teacher=teacher,
    )


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result from its file, made if it is not there."""
    if not file.exists():
        file.write_text(json.dumps(make()))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def ours(args: argparse.Namespace, seed: int, limit_ms: float) -> dict[str, Any]:
    """The network that is found within the limit: its accuracy and multiply-adds; its file lies in the folder."""
    begun = time.process_time()
    path = written(args, seed, limit_ms)
    pipeline.run(path, runs=args.folder / "runs")
    run = pipeline.open_run(path, runs=args.folder / "runs")
    bundle = run.folder / "bundle" / "cpu"
    (model,) = json.loads((bundle / "manifest.json").read_text())["models"]
    (args.folder / f"ours_{seed}.onnx").write_bytes((bundle / model["files"][0]["name"]).read_bytes())
    architecture = next(
        p.architecture for p in read_front(run.paths.front("cpu")) if p.architecture.key == model["key"]
    )
    return {
        "test_top1": model["test_top1"]["value"],
        "macs": macs(build(run.network(architecture)).eval()),
        "architecture": architecture.as_dict(),
        "fine_tuned": model["fine_tuned"],
        "predicted_ms": model["scores"].get("latency_ms@cpu"),
        "cpu_minutes": round((time.process_time() - begun) / 60, 1),
    }


def theirs(
    args: argparse.Namespace, seed: int, kind: str, base: nn.Module, limit_ms: float, target: float
) -> dict[str, Any]:
    """A network cut by Torch-Pruning to so many multiply-adds; its file lies in the folder."""
    run = pipeline.open_run(written(args, seed, limit_ms), runs=args.folder / "runs")
    cut = pruned(base, target, over_all=kind == "torch_pruning")
    module = tuned(run, cut, args.tuned, base, args.folder / f"{kind}_{seed}").eval()
    export_onnx(module, SHAPE, args.folder / f"{kind}_{seed}.onnx")
    return {"test_top1": accuracy(module, run.dataset.test), "macs": macs(module)}


def finish(args: argparse.Namespace, seed: int, base: nn.Module, limit_ms: float) -> None:
    """Make the networks of a seed."""
    own = kept(args.folder / f"ours_{seed}.json", lambda: ours(args, seed, limit_ms))
    for kind in KINDS[1:]:
        kept(
            args.folder / f"{kind}_{seed}.json",
            lambda kind=kind: theirs(args, seed, kind, base, limit_ms, own["macs"]),  # type: ignore[misc]
        )


def given(args: argparse.Namespace, dataset: Dataset) -> nn.Module:
    """The trained network."""
    torch.manual_seed(0)
    return trained(ResNet20(), dataset, args.epochs, rate=RATE, seed=0, file=args.folder / "base.pt")


def table(args: argparse.Namespace, base: nn.Module) -> None:
    """Time the network and the rows of its space."""
    file = args.folder / "base.onnx"
    export_onnx(base, SHAPE, file)
    kept(args.folder / "base_ms.json", lambda: timed({"base": file}, ROUNDS))
    pipeline.bench(written(args, 0, None), runs=args.folder / "runs")


def compared(args: argparse.Namespace, base: nn.Module, dataset: Dataset, limit_ms: float) -> dict[str, Any]:
    """All networks that are finished, their files timed together."""
    seeds: dict[int, dict[str, Any]] = {}
    files = {"base": args.folder / "base.onnx"}
    for number, kind in product(args.seeds, KINDS):
        if (file := args.folder / f"{kind}_{number}.json").exists():
            seeds.setdefault(number, {})[kind] = json.loads(file.read_text())
            files[f"{kind}_{number}"] = file.with_suffix(".onnx")
    return {
        "epochs": args.epochs,
        "fine_tuned_epochs": args.tuned,
        "block_epochs": args.block_epochs,
        "block_samples": 128 * args.block_batches,
        "training_images": len(dataset.train),
        "test_images": len(dataset.test),
        "base": {"test_top1": accuracy(base, dataset.test), "macs": macs(base)},
        "limit_ms": limit_ms,
        "seeds": seeds,
        "timed": timed(files, ROUNDS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "prune_resnet20")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone; those before it are done")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--tuned", type=int, default=4)
    parser.add_argument("--block-epochs", type=int, default=4)
    parser.add_argument("--block-batches", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=45_000, help="training images")
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--importance", default="l1")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    args.space = {"importance": args.importance}
    torch.set_num_threads(1)
    dataset = load_data(experiment(args, 0, None)["data"], seed=0)
    base = given(args, dataset)
    if args.stage in (None, "table"):
        table(args, base)
    if args.stage in ("train", "table"):
        return
    base_ms = json.loads((args.folder / "base_ms.json").read_text())
    limit_ms = SHARE * base_ms["base"]["low_ms"]
    if args.stage in (None, "search"):
        for number in args.seeds:
            finish(args, number, base, limit_ms)
    if args.stage in (None, "time"):
        publish(stamped(compared(args, base, dataset, limit_ms)), args.output)


if __name__ == "__main__":
    main()
