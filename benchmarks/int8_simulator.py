"""Int8 accuracies without files: the simulator beside the real files, and a predictor of what int8 costs.

    python benchmarks/int8_simulator.py --output docs/results/int8_simulator.json     # some 10 minutes
    python benchmarks/int8_simulator.py --run runs/cifar10_pair                       # a run of yours, trained

A supernet of digits is trained for a minute, unless `--run` names a run whose supernet is trained. Networks are drawn
at random, with the smallest and the largest among them; they inherit weights, and their statistics are recomputed.

The JSON: `networks`: for each one and runtime the share of validation images on which simulator and file name the same
class (and on which fp32 and file do), the top-1 of fp32, simulator and file, and the CPU seconds of evaluating fp32, of
evaluating the simulator (calibration included), each the least of several by turns, the median of their ratios, and of
writing the file; `summary`: least and mean share, largest
difference of top-1 in points, and the times' ratio; `difference`: the predictor of int8 - fp32
(`hwnas.predictors.differences`) from 40 simulated pairs: mean absolute error in points on held-out networks, beside
that of the mean difference.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import argparse
import copy
import random
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import publish, stamped
from torch import Tensor

from hwnas import pipeline
from hwnas.accuracy.inherited import InheritedAccuracy, inherited
from hwnas.accuracy.int8_accuracy import Int8Accuracy
from hwnas.export import FORMATS
from hwnas.export.bundle import write_model
from hwnas.export.simulation import simulated_int8
from hwnas.network import Network
from hwnas.population import codebook_of
from hwnas.predictors.differences import DifferencePredictor
from hwnas.problem.accuracy import accuracy_context
from hwnas.runtimes import open_runtime
from hwnas.space import Architecture
from hwnas.supernet import evaluate
from hwnas.workspace.measuring.setups import exporter_for
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace, open_run

REPEATS, ENDS = 7, (np.min, np.max)
RUNTIMES = {"onnxruntime": "onnx", "tflite": "tflite"}
EXPERIMENT = """\
name: digits_int8
space: digits
data: digits
train: {{epochs: {epochs}, learning_rate: 0.1}}
setups: {{cpu: {{runtime: onnxruntime}}}}
tiers: {{cloud: {{setup: cpu}}}}
"""


def trained_run(folder: Path, epochs: int) -> Workspace:
    """A run of digits whose supernet is trained."""
    path = folder / "digits_int8.yaml"
    path.write_text(EXPERIMENT.format(epochs=epochs))
    pipeline.train(path, runs=folder / "runs")
    return open_run(path, runs=folder / "runs")


def drawn(run: Workspace, count: int) -> list[Architecture]:
    """Distinct networks, the smallest and the largest among them."""
    rng, known = random.Random(0), {run.space.smallest(): None, run.space.largest(): None}
    while len(known) < count:
        known[run.space.random(rng)] = None
    return list(known)


def compared(accuracy: InheritedAccuracy, network: Network, runtime: str, folder: Path) -> dict[str, Any]:
    """A network in fp32, simulated, and as its file."""
    int8 = Int8Accuracy(accuracy, RUNTIMES[runtime], 128)
    module = accuracy.settled(network)
    ranges = network.task.fitted(int8.ranges, network.input_shape)
    fp32_s, simulated_s = [], []
    for _ in range(REPEATS):  # by turns, so that what else the machine does falls on both
        own = copy.deepcopy(module)  # a search extracts a module for each candidate, which is its own
        started = time.process_time()
        fp32 = evaluate(module, network, accuracy.split)
        fp32_s.append(time.process_time() - started)
        started = time.process_time()
        simulated = simulated_int8(own, ranges, file_format=RUNTIMES[runtime], in_place=True)
        sums = evaluate(simulated, network, accuracy.split)
        simulated_s.append(time.process_time() - started)
    started = time.process_time()
    file_format = FORMATS[RUNTIMES[runtime]]
    path = folder / f"network{file_format.suffix}"
    exporter = exporter_for(file_format, 1, "int8", calibration=ranges.numpy())
    write_model(module, network.input_shape, path, exporter)
    file_s = time.process_time() - started
    model = open_runtime(runtime, precision="int8").load(path)
    inputs: Tensor = network.task.fitted(accuracy.split.every(), network.input_shape)
    answers = np.concatenate([model.run(one[None]) for one in inputs.numpy()]).argmax(1)
    labels = sums.samples["labels"]
    tops = {
        name: round(100 * float((of == labels).mean()), 3)
        for name, of in (("fp32", fp32.samples["answers"]), ("simulated", sums.samples["answers"]), ("file", answers))
    }
    same = float((sums.samples["answers"] == answers).mean())
    plain = float((fp32.samples["answers"] == answers).mean())
    ratios = np.array(simulated_s) / np.array(fp32_s)
    seconds = {"fp32": round(min(fp32_s), 5), "simulated": round(min(simulated_s), 5), "file": round(file_s, 3)}
    seconds |= {"ratio": round(float(np.median(ratios)), 2), "ratios": [round(float(of(ratios)), 2) for of in ENDS]}
    return {"runtime": runtime, "same_class": round(same, 5), "fp32_same_class": round(plain, 5), "top1": tops,
            "cpu_seconds": seconds}  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Least and mean over networks."""
    same = [row["same_class"] for row in rows]
    apart = [abs(row["top1"]["simulated"] - row["top1"]["file"]) for row in rows]
    times = [row["cpu_seconds"]["ratio"] for row in rows]
    return {
        "networks": len(rows), "same_class_least": min(same), "same_class_mean": round(float(np.mean(same)), 5),
        "with_99_percent": sum(one >= 0.99 for one in same), "top1_difference_most": round(max(apart), 3),
        "time_ratio_median": round(float(np.median(times)), 2), "time_ratio_most": round(max(times), 2),
        "within_2.5": sum(one <= 2.5 for one in times),
    }  # fmt: skip


def differences(run: Workspace, accuracy: InheritedAccuracy, pairs: int, held_out: int) -> dict[str, Any]:
    """The predictor of the difference, from so many pairs, on networks that were held out."""
    int8 = Int8Accuracy(accuracy, "onnx", 128)
    architectures = drawn(run, pairs + held_out)
    random.Random(1).shuffle(architectures)
    for architecture in architectures:
        int8(architecture)
    changes = np.array([int8.pairs[architecture.key].difference for architecture in architectures])
    codebook = codebook_of(run.space)
    codes = codebook.encode(architectures)
    errors = np.array([int8.pairs[architecture.key].standard_error for architecture in architectures])
    learned = DifferencePredictor.fit(codebook, codes[:pairs], changes[:pairs])
    mean, deviation = learned.predict(codes[pairs:])
    rest = changes[pairs:]
    points = 100 * np.abs(mean - rest)
    constant = 100 * np.abs(changes[:pairs].mean() - rest)
    return {
        "pairs": pairs, "held_out": held_out, "error_points": round(float(points.mean()), 3),
        "constant_error_points": round(float(constant.mean()), 3), "spread_points": round(100 * float(rest.std()), 3),
        "sampling_error_points": round(100 * float(errors[pairs:].mean()), 3),
        "within_2_deviations": round(float((np.abs(mean - rest) <= 2 * deviation).mean()), 3),
    }  # fmt: skip


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run whose supernet is trained; digits if left out")
    parser.add_argument("--epochs", type=int, default=30, help="of the supernet of digits")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = trained_run(folder, asked.epochs) if asked.run is None else open_run(asked.run)
        accuracy = inherited(accuracy_context(run, supernet_of(run, NullReporter())))
        rows = []
        for architecture in drawn(run, asked.networks):
            for runtime in RUNTIMES:
                row = {"key": architecture.key, **compared(accuracy, run.network(architecture), runtime, folder)}
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
        by_runtime = {runtime: summary([row for row in rows if row["runtime"] == runtime]) for runtime in RUNTIMES}
        result = {
            "command": shlex.join(["python", "benchmarks/int8_simulator.py", *sys.argv[1:]]),
            "space": run.space.name, "validation_samples": len(accuracy.split), "summary": by_runtime,
            "difference": differences(run, accuracy, asked.pairs, asked.held_out), "networks": rows,
        }  # fmt: skip
    publish(stamped(result), asked.output)


if __name__ == "__main__":
    main()
