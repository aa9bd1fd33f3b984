"""How often `hwnas verify --against` raises a false alarm, and how often it finds a planted regression.

    python benchmarks/verify_gate.py -o docs/results/verify_gate.json      # eight minutes, on a quiet machine

Latency: bundles with a chain of convolutions are compared with copies of themselves, and with one that has a tenth more
of them. Accuracy: answers of two classifiers to 10,000 samples are drawn, with and without a loss of 1.5 points.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from _results import publish, stamped
from onnx import TensorProto, helper, numpy_helper

from hwnas import pipeline
from hwnas.export.manifest import MANIFEST, files_entry, write_manifest
from hwnas.io.checksum import sha256_of
from hwnas.runtimes.setup import cpu_name
from hwnas.verify.findings import Verification
from hwnas.verify.gate import GateLimits

LAYERS, WIDTH, SIZE = 20, 16, 16
SAMPLES, CLASSES, ACCURACY, CHURN = 10_000, 10, 0.9, 0.02
"""Of the second part: images, classes, the earlier accuracy, and the share that changes either way."""


def write_chain(path: Path, layers: int) -> None:
    """Write convolutions one after the other, as an ONNX file of batch 1."""
    rng, names = np.random.default_rng(0), [f"x{number}" for number in range(layers + 1)]
    kernels = [
        numpy_helper.from_array(rng.normal(size=(WIDTH, WIDTH, 3, 3)).astype(np.float32) / 12, f"k{number}")
        for number in range(layers)
    ]
    nodes = [
        helper.make_node("Conv", [names[number], f"k{number}"], [names[number + 1]], pads=[1, 1, 1, 1])
        for number in range(layers)
    ]
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH, SIZE, SIZE]) for name in (names[0], names[-1])
    )
    model = helper.make_model(
        helper.make_graph(nodes, "chain", [first], [last], kernels),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, str(path))


def write_bundle(folder: Path, layers: int) -> Path:
    """Write a bundle with one such file."""
    folder.mkdir()
    write_chain(folder / "best.onnx", layers)
    ends = [{"name": name, "shape": [1, WIDTH, SIZE, SIZE], "dtype": "float32"} for name in ("x0", f"x{layers}")]
    file = {
        "name": "best.onnx",
        "format": "onnx",
        "runtime": "onnxruntime",
        "batch": 1,
        "precision": "fp32",
        "bytes": (folder / "best.onnx").stat().st_size,
        "sha256": sha256_of(folder / "best.onnx"),
        "max_difference": 0.0,
        "top1_agreement": 1.0,
        "test_top1": ACCURACY,
        "latency_ms": 1.0,
        "inputs": ends[:1],
        "outputs": ends[1:],
    }
    model = {
        "picks": ["best"],
        "key": "0" * 12,
        "scores": {},
        "test_top1": {"value": ACCURACY},
        "files": [file],
        "preprocessing": {"steps": []},
    }
    setup = {"device": cpu_name(), "runtime": "onnxruntime", "threads": 1, "precision": "fp32", "batch": 1}
    content = {
        "tier": "edge",
        "setup": setup,
        "machine": {"processor": cpu_name()},
        "models": [model],
        "task": {"name": "classification", "quality": "top1", "options": {}},
    }
    write_manifest(folder / MANIFEST, {**content, "bundle": files_entry(folder)})
    return folder


def latency_part(repeats: int) -> dict[str, Any]:
    """Alarms of identical bundles, and of ones with a tenth more layers."""
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        old, slower = write_bundle(base / "old", LAYERS), write_bundle(base / "slower", LAYERS + LAYERS // 10)
        limits = GateLimits(growth=1.0)
        told: dict[str, list[dict[str, Any]]] = {"identical": [], "slower": []}
        same = Path(shutil.copytree(old, base / "same"))
        for _ in range(repeats):
            for name, new in (("identical", same), ("slower", slower)):
                (result,) = pipeline.verify(new, against=old, limits=limits)
                ratio = result.measured["against"]["best.onnx"]["latency"]
                told[name].append({**ratio, "alarm": any(one.kind == "slower" for one in result.findings)})
    return {
        name: {
            "repeats": len(rows),
            "alarms": sum(row["alarm"] for row in rows),
            "median_ratio": float(np.median([row["ratio"] for row in rows])),
            "median_half_width": float(np.median([(row["high"] - row["low"]) / 2 for row in rows])),
        }
        for name, rows in told.items()
    }


class DrawnAnswers:
    """Answers that are drawn: right or wrong."""

    def __init__(self, right: np.ndarray) -> None:
        self.right, self.targets, self.task = right, np.zeros(len(right)), {"quality": "top1"}
        self.classes = np.where(right, 0, 1)

    def quality(self) -> float:
        return float(self.right.mean())


def accuracy_part(repeats: int) -> dict[str, Any]:
    """Alarms where the accuracy fell by so many points."""
    from hwnas.verify import gate

    counts = {}
    for drop in (0.0, 0.005, 0.01, 0.015):
        alarms = 0
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            old = rng.random(SAMPLES) < ACCURACY
            flipped = np.zeros(SAMPLES, bool)
            worse, better = rng.permutation(np.flatnonzero(old)), rng.permutation(np.flatnonzero(~old))
            flipped[worse[: round((CHURN + drop) * SAMPLES)]] = True
            flipped[better[: round(CHURN * SAMPLES)]] = True
            result = Verification("drawn")
            new = DrawnAnswers(old ^ flipped)
            gate._paired("best.onnx", Path(), new, DrawnAnswers(old), GateLimits(), result)  # type: ignore[arg-type]
            alarms += any(one.kind == "quality_dropped" for one in result.findings)
        counts[f"{100 * drop:g} points"] = {"repeats": repeats, "alarms": alarms}
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    result = {"latency": latency_part(asked.repeats), "accuracy": accuracy_part(10 * asked.repeats)}
    publish(stamped(result), asked.output)


if __name__ == "__main__":
    main()
