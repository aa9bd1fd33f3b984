"""What a training step through supernet slices costs beside the same step on the plain module.

    python benchmarks/step_cost.py        # minutes; writes to docs/results/

A step is forward, backward and SGD update on the same images. Steps through the supernet, on the extracted module and
on a second copy of it alternate in shuffled order; told are the ratio of medians and the noise floor, which is the same
ratio between the two copies of the plain module.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.network import lower
from hwnas.pipeline.costs import pick_architecture
from hwnas.pipeline.exporting import machine, versions
from hwnas.space import Space, read_space
from hwnas.supernet.weights import Supernet

ROOT = Path(__file__).resolve().parent.parent
SPACES = {  # with the batch to step on
    "digits": 64,
    "cifar10_bottleneck": 128,
    "cifar10_vit": 64,
    "ofa_mobilenet_v3_w1.0": 8,
}
ARCHITECTURES = ("largest", "random:0", "smallest")


def step(module: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Callable[[], None]:
    """One training step, ready to be timed."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(forward(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def compare(space: Space, supernet: Supernet, which: str, batch: int, seconds: float) -> dict[str, Any]:
    """Times of one architecture's steps in ms, and their ratios."""
    network = lower(space, pick_architecture(space, which))
    plain, again = supernet.extract(network).train(), supernet.extract(network).train()
    images = torch.randn(batch, *network.input_shape)
    labels = torch.randint(space.classes, (batch,))
    steps = {
        "supernet": step(supernet, lambda: supernet(images, network), labels),
        "plain": step(plain, lambda: plain(images), labels),
        "again": step(again, lambda: again(images), labels),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times["plain"]) < 14:
        for name in random.sample(list(steps), 3):
            start = time.perf_counter()
            steps[name]()
            times[name].append(1e3 * (time.perf_counter() - start))
    median = {name: statistics.median(values[2:]) for name, values in times.items()}
    return {
        "space": space.name,
        "architecture": which,
        "batch": batch,
        "steps": len(times["plain"]) - 2,
        "supernet_ms": round(median["supernet"], 3),
        "plain_ms": round(median["plain"], 3),
        "ratio": round(median["supernet"] / median["plain"], 4),
        "noise_floor": round(median["again"] / median["plain"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="for each architecture")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    rows = []
    for name, batch in SPACES.items():
        space = read_space(ROOT / f"search_spaces/{name}.yaml")
        supernet = Supernet(space).train()
        for which in ARCHITECTURES:
            rows.append(compare(space, supernet, which, batch, asked.seconds))
            print(json.dumps(rows[-1]), flush=True)
    report = {
        "command": "python benchmarks/step_cost.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "rows": rows,
    }
    (asked.out / "step_cost.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
