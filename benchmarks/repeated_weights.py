"""Whether times depend on weights that are repeated: files that are timed hold 1,021 random numbers over and over.

    python benchmarks/repeated_weights.py        # three minutes; writes to docs/results/

Operators of once-for-all's MobileNetV3 at 224, fp32 and int8, for ONNX Runtime at one thread. Of each there are three
files: with repeated weights, with random ones, and with other random ones. All are timed in turns by the usual
protocol. Told are medians over operators: of repeated over random, and as noise floor of the one random file over the
other.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.export.onnx import export_onnx
from hwnas.latency.building.model_files import repeat_weights
from hwnas.measure.timing import Timing, measure
from hwnas.network import operators_of
from hwnas.ops import Operator
from hwnas.runtimes import open_runtime
from hwnas.space import read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SPACE, OPERATORS = "ofa_mobilenet_v3_224", 24


def module_of(operator: Operator, seed: int, *, repeated: bool) -> nn.Module:
    """The operator with random weights, or with the first of them repeated as in files that are timed."""
    torch.manual_seed(seed)
    module = operator.module().eval()
    return repeat_weights(module) if repeated else module


def compare(precision: str, folder: Path) -> dict[str, Any]:
    """Ratios of one precision."""
    links = list(operators_of(read_space(ROOT / f"search_spaces/{SPACE}.yaml")))
    drawn = random.Random(0).sample(links, OPERATORS)
    runtime = open_runtime("onnxruntime", precision=precision)
    files = {
        (place, kind): export_onnx(
            module_of(operator, seed, repeated=kind == "repeated"), shape,
            folder / f"{precision}-{place}-{kind}.onnx", precision=precision, whole=False,
        )
        for place, (operator, shape) in enumerate(drawn)
        for kind, seed in (("repeated", 0), ("random", 0), ("other", 1))
    }  # fmt: skip
    order = list(files)
    random.Random(1).shuffle(order)
    targets = {key: runtime.load(files[key]).invoke for key in order}
    taken = {key: found.median_ms for key, found in measure(targets, Timing()).items()}

    def ratios(one: str, other: str) -> list[float]:
        return [taken[place, one] / taken[place, other] for place in range(OPERATORS)]

    repeated, noise = ratios("repeated", "random"), ratios("other", "random")
    return {
        "operators": OPERATORS,
        "repeated_over_random": round(statistics.median(repeated), 4),
        "quartiles": [round(q, 4) for q in statistics.quantiles(repeated, n=4)],
        "noise_floor": round(statistics.median(noise), 4),
        "noise_quartiles": [round(q, 4) for q in statistics.quantiles(noise, n=4)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {precision: compare(precision, Path(folder)) for precision in ("fp32", "int8")}
    report = {
        "command": "python benchmarks/repeated_weights.py", "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()), "versions": versions(), "space": SPACE, **found,
    }  # fmt: skip
    (asked.out / "repeated_weights.json").write_text(json.dumps(report, indent=1) + "\n")
    for precision, told in found.items():
        print(f"{precision}: {told['repeated_over_random']} (noise floor {told['noise_floor']})")


if __name__ == "__main__":
    main()
