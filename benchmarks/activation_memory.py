"""Is the peak of live activations, as hwnas counts it, what runtimes take?

    python benchmarks/activation_memory.py      # five minutes; writes to docs/results/

For random networks of three spaces, their files are run in fresh processes. Told is by how much the process's resident
memory grows from the loaded model to the peak of its first inference: that is activations and whatever the runtime
allocates beside them (an arena's slack, workspace of convolutions), and no weights, which are loaded and packed before.
Memory counts in pages, so only networks that need a hundred of them or more enter the ratio.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.latency.artifacts import Target, make_files
from hwnas.network import Network, build, costs, lower
from hwnas.pipeline import open_space
from hwnas.pipeline.exporting import machine, versions
from hwnas.pipeline.timing import exporter_of
from hwnas.runtimes import open_runtime

ROOT = Path(__file__).resolve().parent.parent
SPACES = ("digits", "cifar10_bottleneck", "ofa_mobilenet_v3_224")
LEAST_BYTES = 100 * 4096

# Runs in a fresh process: prints bytes by which memory grew at its peak. Writing 5 to clear_refs resets that peak.
PEAK = """
import sys, numpy as np
def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name + ":"))
kind, *paths = sys.argv[1:]
def session(path):
    if kind == "onnxruntime":
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        model = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        shape = model.get_inputs()[0].shape
        given = {model.get_inputs()[0].name: np.ones(shape, dtype=np.float32)}
        return lambda: model.run(None, given)
    from ai_edge_litert.interpreter import Interpreter
    model = Interpreter(model_path=path, num_threads=1)
    model.allocate_tensors()
    return model.invoke
for path in paths:  # the first is the identity: what a library allocates once is not the network's
    run = session(path)
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    run()
    grown = status("VmHWM") - before
print(grown)
"""


def drawn(space_name: str, count: int) -> list[Network]:
    space, _ = open_space(space_name)
    rng = random.Random(0)
    chosen = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count - 2))]
    return [lower(space, architecture) for architecture in chosen]


def grown_bytes(kind: str, files: list[Path]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, kind, *map(str, files)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def study(kind: str, space: str, count: int, folder: Path) -> list[dict[str, Any]]:
    from torch import nn

    runtime, networks = open_runtime(kind), drawn(space, count)
    targets = [
        Target("identity", nn.Identity, (8, 1, 1)),
        *(
            Target(f"network of {len(n.operators)} operators", partial(build, n), n.input_shape, "whole")
            for n in networks
        ),
    ]
    files = make_files(targets, runtime.setup, runtime.suffix, exporter_of(runtime), folder / kind)
    told = []
    for network, file in zip(networks, files[1:], strict=True):
        if isinstance(file, HwnasError) or isinstance(files[0], HwnasError):
            raise SystemExit(str(file))
        taken = statistics.median(grown_bytes(kind, [files[0], file]) for _ in range(3))
        told.append({"space": space, "counted": costs(network).activation_bytes, "taken": taken})
        print(kind, told[-1], file=sys.stderr, flush=True)
    return told


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlation over all networks, ratios of those that memory pages can tell."""
    from scipy.stats import spearmanr

    large = [one["taken"] / one["counted"] for one in found if one["counted"] >= LEAST_BYTES]
    ratios = {"median": statistics.median(large), "least": min(large), "most": max(large)} if large else {}
    return {
        "networks": len(found),
        "spearman": round(float(spearmanr([o["counted"] for o in found], [o["taken"] for o in found])[0]), 4),
        "taken_over_counted": {name: round(value, 3) for name, value in ratios.items()} | {"networks": len(large)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=7, help="of each space")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "activation_memory")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "activation_memory.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "versions": versions()}
    for kind in ("onnxruntime", "tflite"):
        rows = [row for space in SPACES for row in study(kind, space, asked.networks, asked.folder)]
        found[kind] = summary(rows) | {"by_network": rows}
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(
        json.dumps(found, indent=1)
        if asked.json
        else {kind: summary(found[kind]["by_network"]) for kind in ("onnxruntime", "tflite")}
    )


if __name__ == "__main__":
    main()
