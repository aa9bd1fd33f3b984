"""How quickly architectures are costed: one at a time, and a population at once.

    python benchmarks/costing_speed.py --json     # a minute; writes to docs/results/

Parameters, MACs and activation bytes of random architectures, after warm-up: every operator of the space was costed
once. Told are medians over repeats on one thread, and as noise the longest repeat over the shortest. Both ways are
compared.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.network import costs, lower
from hwnas.population import codebook_of, population_costs
from hwnas.space import read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SPACES = ("ofa_mobilenet_v3_w1.0", "ofa_resnet50d", "attentive_nas", "nas_bench_201", "autoformer_tiny", "digits")
SINGLES, REPEATS = 1000, 9


def seconds_of(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each repeat, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def measure(name: str, count: int) -> dict[str, Any]:
    """One space: microseconds an architecture, and architectures a second in a batch."""
    space = read_space(ROOT / f"search_spaces/{name}.yaml")
    codebook = codebook_of(space)
    codes = codebook.draw(count, np.random.default_rng(0))
    hand = random.Random(0)
    singles = [space.random(hand) for _ in range(SINGLES)]
    alone = seconds_of(lambda: [costs(lower(space, one)) for one in singles], REPEATS)
    batch = seconds_of(lambda: population_costs(codebook, codes), REPEATS)
    together = population_costs(codebook, codebook.encode(singles))
    for index, one in enumerate(singles):
        found = costs(lower(space, one))
        assert (found.params, found.macs) == (together.params[index], together.macs[index])
    return {
        "architectures": space.count,
        "operators": len(codebook.links),
        "one_at_a_time_us": round(statistics.median(alone) / SINGLES * 1e6, 1),
        "one_at_a_time_noise": round(max(alone) / min(alone), 2),
        "batch": count,
        "batch_per_second": round(count / statistics.median(batch)),
        "batch_noise": round(max(batch) / min(batch), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--spaces", nargs="+", default=SPACES)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    report = {
        "command": "python benchmarks/costing_speed.py --json",
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()),
        "versions": versions(),
        "spaces": {name: measure(name, asked.networks) for name in asked.spaces},
    }
    (asked.out / "costing_speed.json").write_text(json.dumps(report, indent=1) + "\n")
    if asked.json:
        print(json.dumps(report))
        return
    for name, found in report["spaces"].items():
        print(
            f"{name}: {found['one_at_a_time_us']} us one at a time, {found['batch_per_second']:,} a second in a batch"
        )


if __name__ == "__main__":
    main()
