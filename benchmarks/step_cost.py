"""What a training step through supernet slices costs beside the same step on the plain module, for every shipped space.

    python benchmarks/step_cost.py        # half an hour; writes to docs/results/

A step is forward, backward and update by the recipe's optimizer, on images of the network's own resolution; the batch
is doubled until the plain step takes 100 ms. Steps through the supernet, on the extracted module and on a second copy
of it alternate in shuffled order. Told are medians over rounds: of each step, of the ratio within a round, and as noise
floor of the ratio between the two copies of the plain module. `sandwich` is the step that trains a supernet, four
networks and one update, beside the same four networks as modules of their own and an update of the largest.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.network import Network, lower
from hwnas.space import Space, read_space
from hwnas.supernet import Recipe, Supernet
from hwnas.supernet.training.recipe import make_optimizer
from hwnas.workspace.architectures import pick_architecture
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SAME = ("ofa_mobilenet_v3_224",)  # as `ofa_mobilenet_v3_w1.0`, but for the resolution
SINGLE = {"largest": ["largest"], "random": ["random:0"], "smallest": ["smallest"]}
SANDWICH = ["largest", "smallest", "random:1", "random:2"]
LEAST_MS = 100
LARGEST_BATCH = 4096
FEWEST_ROUNDS = 12
WARM_UP = 2

Run = Callable[[], None]
Forward = Callable[[Tensor], Tensor]


def step(owner: nn.Module, forwards: Sequence[Forward], inputs: Sequence[Tensor], labels: Tensor) -> Run:
    """One training step, ready to be timed: all networks forward and backward, then one update."""
    optimizer = make_optimizer(owner, Recipe(learning_rate=1e-4))

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        for forward, images in zip(forwards, inputs, strict=True):
            cross_entropy(forward(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def plain_step(supernet: Supernet, networks: Sequence[Network], inputs: Sequence[Tensor], labels: Tensor) -> Run:
    modules = [supernet.extract(network).train() for network in networks]

    def run() -> None:
        for module in modules[1:]:
            module.zero_grad(set_to_none=True)
        first()

    first = step(modules[0], modules, inputs, labels)
    return run


def drawn(networks: Sequence[Network], classes: int, batch: int) -> tuple[list[Tensor], Tensor]:
    return [torch.randn(batch, *network.input_shape) for network in networks], torch.randint(classes, (batch,))


def batch_for(supernet: Supernet, networks: Sequence[Network], classes: int, clock: Callable[[], float]) -> int:
    """The least power of two at which a plain step takes `LEAST_MS`."""
    batch = 2
    while batch < LARGEST_BATCH:
        run = plain_step(supernet, networks, *drawn(networks, classes, batch))
        times = []
        for _ in range(3):
            start = clock()
            run()
            times.append(1e3 * (clock() - start))
        if min(times) >= LEAST_MS:
            break
        batch *= 2
    return batch


def compare(
    space: Space, supernet: Supernet, which: Sequence[str], seconds: float, clock: Callable[[], float]
) -> dict[str, Any]:
    """Times of a step through some architectures in ms, and their ratios."""
    networks = [lower(space, pick_architecture(space, name)) for name in which]
    batch = batch_for(supernet, networks, space.width, clock)
    inputs, labels = drawn(networks, space.width, batch)
    sliced = [lambda images, network=network: supernet(images, network) for network in networks]
    steps = {
        "supernet": step(supernet, sliced, inputs, labels),
        "plain": plain_step(supernet, networks, inputs, labels),
        "again": plain_step(supernet, networks, inputs, labels),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times["plain"]) < WARM_UP + FEWEST_ROUNDS:
        for name in random.sample(list(steps), 3):
            start = clock()
            steps[name]()
            times[name].append(1e3 * (clock() - start))
    held = {name: values[WARM_UP:] for name, values in times.items()}
    ratios = [a / b for a, b in zip(held["supernet"], held["plain"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "batch": batch,
        "rounds": len(ratios),
        "supernet_ms": round(statistics.median(held["supernet"]), 3),
        "plain_ms": round(statistics.median(held["plain"]), 3),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(low, 4), round(high, 4)],
        "noise_floor": round(statistics.median(a / b for a, b in zip(held["again"], held["plain"], strict=True)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    parser.add_argument("--space", action="append", help="one of search_spaces/; may be given several times")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time on one thread: for a machine that others use"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    if asked.cpu:
        torch.set_num_threads(1)
    clock = time.process_time if asked.cpu else time.perf_counter
    random.seed(0)
    rows = []
    for path in sorted((ROOT / "search_spaces").glob("*.yaml")):
        if path.stem in (asked.space or {path.stem}) and path.stem not in SAME:
            space = read_space(path)
            supernet = Supernet(space).train()
            for name, which in {**SINGLE, "sandwich": SANDWICH}.items():
                rows.append(
                    {"space": space.name, "step": name, **compare(space, supernet, which, asked.seconds, clock)}
                )
                print(json.dumps(rows[-1]), flush=True)
    report = {
        "command": f"python benchmarks/step_cost.py --seconds {asked.seconds:g}{' --cpu' if asked.cpu else ''}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()),
        "threads": torch.get_num_threads(),
        "clock": "processor time" if asked.cpu else "wall",
        "versions": versions(),
        "rows": rows,
    }
    (asked.out / "step_cost.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
