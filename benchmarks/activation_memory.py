"""Is the peak of live activations, as hwnas counts it, what runtimes take?

    python benchmarks/activation_memory.py      # half an hour, nearly all conversions; writes to docs/results/

Random networks of three spaces are run in fresh processes, in which every buffer has pages of its own that go back to
the system when it is freed. Told is by how many bytes a process's private pages grow:

- ONNX Runtime: from the loaded model to its third inference, input included. Weights are loaded and packed before. The
  second inference plans one block for all tensors and keeps what the first one took; told is the first one's too.
- LiteRT: from the empty interpreter to its third inference, less the same for the same operators on the smallest input
  that they take. LiteRT packs weights where it plans its tensors, so the second file is what tells them apart; counted
  is the difference of the two networks as well.

Both take more than tensors: an arena's slack, the workspace of convolutions. What is known of it is told beside:
XNNPACK, in LiteRT, keeps for each convolution that is no 1x1 a table of pointers to its inputs, and those of all layers
add up. Memory comes in pages, so ratios are told of networks that fill a hundred of them or more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import HwnasError, SpaceError
from hwnas.latency.building.model_files import ModelFile, make_files
from hwnas.network import Network, build, costs, lower
from hwnas.pipeline import open_space
from hwnas.runtimes import open_runtime
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.measuring.setups import exporter_of

ROOT = Path(__file__).resolve().parent.parent
SPACES = ("digits", "cifar10_bottleneck", "ofa_mobilenet_v3_224")
LEAST_BYTES = 100 * 4096

OWN_PAGES = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_MMAP_MAX_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "0",
             "MALLOC_TOP_PAD_": "0"}  # fmt: skip
"""How glibc is told to map each buffer by itself, instead of handing out what loading a model has touched and freed."""

# Runs in a fresh process. The first file is the identity: what a library allocates once is not the network's.
GROWTH = """
import sys, numpy as np
kind, *paths = sys.argv[1:]
def private():
    lines = open("/proc/self/smaps_rollup")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
def onnxruntime(path):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    model = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    before = private()
    (given,) = model.get_inputs()
    images = {given.name: np.ones(given.shape, dtype=np.float32)}
    return before, lambda: model.run(None, images)
def tflite(path):
    from ai_edge_litert.interpreter import Interpreter
    before = private()
    model = Interpreter(model_path=path, num_threads=1)
    model.allocate_tensors()
    (given,) = model.get_input_details()
    model.set_tensor(given["index"], np.ones(given["shape"], dtype=np.float32))
    return before, model.invoke
private()
kept = []
for path in paths:
    before, run = {"onnxruntime": onnxruntime, "tflite": tflite}[kind](path)
    kept.append(run)
    grown = []
    for _ in range(3):
        run()
        grown.append(private() - before)
print(grown[0], grown[2])
"""


def drawn(space_name: str, count: int) -> list[Network]:
    space, _ = open_space(space_name)
    rng = random.Random(0)
    chosen = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count - 2))]
    return [lower(space, architecture) for architecture in chosen]


def pointer_bytes(network: Network) -> int:
    """XNNPACK's tables of pointers: one pointer for each output pixel and kernel element, fewer where depthwise
    kernels up to 5x5 share those of neighbouring pixels (`step_width` in its `convolution-nhwc.c`)."""
    found: list[int] = []

    def note(conv: nn.Conv2d, given: tuple[Tensor], out: Tensor) -> None:
        height, width = out.shape[2:]
        kernel, step = conv.kernel_size[0], conv.kernel_size[0]
        if conv.groups == conv.in_channels > 1 and kernel <= 5:
            step = min(conv.stride[0], kernel)
        if kernel > 1:
            found.append(8 * height * (kernel**2 + (width - 1) * step * kernel))

    with torch.device("meta"), torch.no_grad():
        module = build(network).eval()
        for child in module.modules():
            if isinstance(child, nn.Conv2d):
                child.register_forward_hook(note)
        module(torch.empty(1, *network.input_shape))
    return sum(found)


def shrunk(network: Network) -> Network:
    """The same operators on the smallest square image that they take."""
    for side in range(1, network.input_shape[1]):
        smaller = Network(network.operators, network.slots, (network.input_shape[0], side, side))
        try:
            costs(smaller)
        except SpaceError:
            continue
        return smaller
    raise SystemExit("no operator takes a smaller image")


def grown_bytes(kind: str, files: list[Path]) -> tuple[int, int]:
    """After the first and after the third inference of the last file."""
    command = [sys.executable, "-c", GROWTH, kind, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **OWN_PAGES})
    first, third = map(int, done.stdout.split()[-2:])
    return first, third


def study(kind: str, space: str, count: int, folder: Path) -> list[dict[str, Any]]:
    runtime, networks = open_runtime(kind), drawn(space, count)
    small = [shrunk(network) for network in networks] if kind == "tflite" else []
    targets = [ModelFile("identity", nn.Identity, (8, 1, 1))]
    targets += [ModelFile("network", partial(build, n), n.input_shape, repr(n)) for n in [*networks, *small]]
    files: list[Path] = []
    for file in make_files(targets, runtime.setup, runtime.suffix, exporter_of(runtime.setup), folder / kind):
        if isinstance(file, HwnasError):
            raise SystemExit(str(file))
        files.append(file)
    told = []
    for number, network in enumerate(networks):
        first, third = median_growth(kind, files[0], files[1 + number])
        one: dict[str, Any] = {"space": space, "input": list(network.input_shape)}
        one |= {"counted": costs(network).activation_bytes, "first": first, "taken": third}
        if small:
            less = median_growth(kind, files[0], files[1 + len(networks) + number])
            one["counted"] -= costs(small[number]).activation_bytes
            one |= {"first": first - less[0], "taken": third - less[1]}
            one["pointers"] = pointer_bytes(network) - pointer_bytes(small[number])
        told.append(one)
        print(kind, told[-1], file=sys.stderr, flush=True)
    return told


def median_growth(kind: str, identity: Path, file: Path) -> tuple[int, int]:
    firsts, thirds = zip(*(grown_bytes(kind, [identity, file]) for _ in range(3)), strict=True)
    return statistics.median(firsts), statistics.median(thirds)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlation within each space, ratios of the networks that memory pages can tell."""
    from scipy.stats import spearmanr

    ranks = {}
    for space in SPACES:
        pairs = [(one["counted"], one["taken"]) for one in found if one["space"] == space]
        ranks[space] = round(float(spearmanr(*zip(*pairs, strict=True))[0]), 4)
    large = [one for one in found if one["counted"] >= LEAST_BYTES]
    told: dict[str, Any] = {"networks": len(found), "spearman": ranks, "large_networks": len(large)}
    told["first_over_counted"] = spread([one["first"] / one["counted"] for one in large])
    told["taken_over_counted"] = spread([one["taken"] / one["counted"] for one in large])
    if all("pointers" in one for one in found):
        told["without_pointers"] = spread([(one["taken"] - one["pointers"]) / one["counted"] for one in large])
    return told


def spread(ratios: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)} if ratios else {}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20, help="of each space")
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
