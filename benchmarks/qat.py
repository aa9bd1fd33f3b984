"""What training with the rounding of int8 wins back, judged by the real files on validation and test images.

    python benchmarks/qat.py --output docs/results/qat.json              # some 10 minutes
    python benchmarks/qat.py --run runs/cifar10_pair --epochs 3          # networks of a run of yours, trained

Without `--run`, a network of digits is trained alone with each of `--seeds`, and hurt in a way that leaves its fp32
outputs as they are: one channel of each layer is made FACTOR times as large, and the weights that read it as much
smaller. With `--run`, the smallest and the largest sub-network of the run's supernet are taken as they are, and hurt.

The JSON: `rows`, by network and factor (1: not hurt): top-1 of fp32, of the file before, and of the file after, on
validation images; `test`: the same of the shipped module on test images, in the same file format; `lost` and
`won_back` in points; `shipped`; paired counts with McNemar's p. `summary`: by factor, all networks together, on test
images.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import argparse
import copy
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _results import publish, stamped
from torch import Tensor, nn

from hwnas.accuracy.inherited import inherited
from hwnas.commands.export_quantized import quantization_aware
from hwnas.commands.export_setups import file_exporter, setup_for
from hwnas.export import FORMATS
from hwnas.export.bundle import write_model
from hwnas.problem.accuracy import accuracy_context
from hwnas.space import Architecture
from hwnas.supernet import Recipe, estimate
from hwnas.supernet.training.standalone import train_standalone
from hwnas.workspace.measuring.setups import runtime_of
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run

EXPERIMENT = """\
name: digits_rounding
space: space.yaml
data: digits
train: {epochs: 30, batch_size: 64, learning_rate: 0.1}
setups: {cpu: {runtime: onnxruntime, precision: int8}}
tiers: {cloud: {setup: cpu}}
export: {formats: [onnx]}
"""
SPACE = """\
name: plain
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [16], kernel: [3]}
  - {name: s1, op: conv, depth: [2], width: [16], kernel: [3]}
  - {name: head, op: classifier}
"""


def hurt(module: nn.Module, factor: float) -> nn.Module:
    """The module with a channel of each convolution so much larger where a ReLU and another convolution follow."""
    twin = copy.deepcopy(module).eval()
    leaves = [one for one in twin.modules() if not list(one.children()) and not isinstance(one, nn.Identity)]
    with torch.no_grad():
        for norm, act, after in zip(leaves, leaves[1:], leaves[2:], strict=False):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(act, nn.ReLU) and isinstance(after, nn.Conv2d):
                norm.weight[0] *= factor
                norm.bias[0] *= factor
                (after.weight if after.groups > 1 else after.weight.transpose(0, 1))[0] /= factor
    return twin


def top1_of_file(run: Workspace, tier: str, architecture: Architecture, module: nn.Module, ranges: Tensor) -> float:
    """Top-1 of a module's int8 file on test images, in percent."""
    network, test = run.network(architecture), run.dataset.test
    setup = setup_for(run, tier, "onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{FORMATS['onnx'].suffix}"
        write_model(module, network.input_shape, path, file_exporter(setup, "onnx", ranges.numpy()))
        answers = runtime_of(setup).load(path).run(network.task.fitted(test.every(), network.input_shape).numpy())
    return round(100 * float((answers.argmax(1) == test.targets.numpy()).mean()), 3)


def row(run: Workspace, tier: str, architecture: Architecture, module: nn.Module, factor: float) -> dict[str, Any]:
    """One network, before and after."""
    network, seen = run.network(architecture), run.dataset.train.first(run.experiment.export.calibration_samples)
    ranges: Tensor = network.task.fitted(seen.every(), network.input_shape)
    start = hurt(module, factor)
    plain = 100 * estimate(start, network, run.dataset.validation).value
    done = quantization_aware(run, tier, architecture, start, ranges, lambda epoch, epochs: None)
    assert done is not None
    file = done.manifest_entry["files"]["onnx"]
    before, after = (100 * file["validation_top1"].get(name, {"value": 0.0})["value"] for name in ("before", "after"))
    tested = {
        "fp32": round(100 * estimate(start, network, run.dataset.test).value, 3),
        "before": top1_of_file(run, tier, architecture, start, ranges),
        "shipped": top1_of_file(run, tier, architecture, done.module, ranges),
    }
    return {
        "key": architecture.key, "factor": factor, "fp32": round(plain, 3), "before": round(before, 3),
        "after": round(after, 3), "lost": round(plain - before, 3), "won_back": round(after - before, 3),
        "shipped": done.manifest_entry["shipped"], "failed": done.manifest_entry.get("failed"),
        "paired": file.get("paired"), "test": tested,
    }  # fmt: skip


def pooled(rows: list[dict[str, Any]], factor: float) -> dict[str, Any]:
    """All networks of a factor together: points lost by int8 and won back, in the mean, and the share that is."""
    own = [row for row in rows if row["factor"] == factor]
    tests = [row["test"] for row in own]
    lost = [test["fp32"] - test["before"] for test in tests]
    back = [test["shipped"] - test["before"] for test in tests]
    share = sum(back) / sum(lost) if sum(lost) > 0 else None
    return {
        "networks": len(own), "test_lost": round(sum(lost) / len(own), 3),
        "test_won_back": round(sum(back) / len(own), 3), "test_share": None if share is None else round(share, 3),
        "test_shares": [round(b / one, 2) for b, one in zip(back, lost, strict=True) if one >= 2],
        "validation_share": round(sum(row["won_back"] for row in own) / max(sum(row["lost"] for row in own), 1e-9), 3),
        "shipped_after": sum(row["shipped"] == "after" for row in own),
        "test_worse_than_before": sum(one < 0 for one in back),
    }  # fmt: skip


def trained_networks(run: Workspace, seeds: int) -> Iterator[tuple[int, Architecture, nn.Module]]:
    """Networks with trained weights: one trained alone with each seed, or without seeds two of a supernet."""
    architecture, recipe = run.space.largest(), Recipe(epochs=10, batch_size=64, learning_rate=0.1)
    for seed in range(seeds):
        data = run.dataset.without_test()
        yield seed, architecture, train_standalone(run.network(architecture), data, recipe, seed=seed)
    if seeds:
        return
    accuracy = inherited(accuracy_context(run, supernet_of(run, NullReporter())))
    for architecture in (run.space.smallest(), run.space.largest()):
        yield 0, architecture, accuracy.settled(run.network(architecture))


def in_int8(run: Workspace, epochs: int) -> tuple[Workspace, str]:
    """The run with its first tier in int8 by ONNX Runtime, and so many epochs."""
    tier = next(iter(run.experiment.tiers))
    name = run.experiment.tiers[tier].setup
    setup = run.experiment.setups[name].model_copy(
        update={"runtime": "onnxruntime", "precision": "int8", "host": None, "latencies": None}
    )
    export = run.experiment.export.model_copy(update={"quantized_epochs": epochs, "formats": ("onnx",)})
    setups = {**run.experiment.setups, name: setup}
    return replace(run, experiment=run.experiment.model_copy(update={"export": export, "setups": setups})), tier


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run whose supernet is trained; digits if left out")
    parser.add_argument("--epochs", type=int, default=20, help="`export.quantized_epochs`")
    parser.add_argument("--factors", type=float, nargs="+", default=[1, 60, 120, 300])
    parser.add_argument("--seeds", type=int, default=5, help="networks of digits that are trained; of a run none are")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if asked.run is None:
            (Path(scratch) / "space.yaml").write_text(SPACE)
            path = Path(scratch) / "digits_rounding.yaml"
            path.write_text(EXPERIMENT)
            run = open_run(path, runs=Path(scratch) / "runs")
        else:
            run = open_run(asked.run)
        run, tier = in_int8(run, asked.epochs)
        rows = []
        for seed, architecture, module in trained_networks(run, asked.seeds if asked.run is None else 0):
            for factor in asked.factors:
                rows.append({"seed": seed, **row(run, tier, architecture, module, factor)})
                print(rows[-1], file=sys.stderr, flush=True)
        result = {
            "command": shlex.join(["python", "benchmarks/qat.py", *sys.argv[1:]]), "space": run.space.name,
            "epochs": asked.epochs, "validation_samples": len(run.dataset.validation),
            "test_samples": len(run.dataset.test), "summary": {str(f): pooled(rows, f) for f in asked.factors},
            "rows": rows,
        }  # fmt: skip
    publish(stamped(result), asked.output)


if __name__ == "__main__":
    main()
