"""What a training step through supernet slices costs beside the same step on the plain module.

    python benchmarks/step_cost.py search_spaces/digits.yaml --batch 64 --architecture largest

Both steps (forward, backward, SGD update) run alternately on the same images; the ratio of medians is reported with
the noise floor, which is the same ratio between two timings of the plain module.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.network import lower
from hwnas.space import Space, read_space
from hwnas.supernet.weights import Supernet


def step(parameters: list[nn.Parameter], forward: Callable[[], Tensor], labels: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(forward(), labels).backward()
        optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", type=Path)
    parser.add_argument("--architecture", default="largest", help="largest, smallest or random:SEED")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    space = read_space(args.space)
    network = lower(space, chosen(space, args.architecture))
    supernet = Supernet(space)
    plain, again = supernet.extract(network).train(), supernet.extract(network).train()
    images = torch.randn(args.batch, *network.input_shape)
    labels = torch.randint(space.classes, (args.batch,))
    steps = {
        "supernet": step(list(supernet.parameters()), lambda: supernet(images, network), labels),
        "plain": step(list(plain.parameters()), lambda: plain(images), labels),
        "plain again": step(list(again.parameters()), lambda: again(images), labels),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + args.seconds
    while time.monotonic() < end or len(times["plain"]) < 12:
        for name in random.sample(list(steps), 3):
            start = time.perf_counter()
            steps[name]()
            times[name].append(1e3 * (time.perf_counter() - start))
    warm = {name: values[2:] for name, values in times.items()}
    median = {name: statistics.median(values) for name, values in warm.items()}
    print(
        json.dumps(
            {
                "space": space.name,
                "architecture": args.architecture,
                "batch": args.batch,
                "steps": len(warm["plain"]),
                "median_ms": {name: round(value, 3) for name, value in median.items()},
                "ratio": round(median["supernet"] / median["plain"], 4),
                "ratio_of_minima": round(min(warm["supernet"]) / min(warm["plain"]), 4),
                "noise_floor": round(median["plain again"] / median["plain"], 4),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )


def chosen(space: Space, which: str):  # type: ignore[no-untyped-def]
    if which.startswith("random:"):
        return space.random(random.Random(int(which.removeprefix("random:"))))
    return space.largest() if which == "largest" else space.smallest()


if __name__ == "__main__":
    main()
