"""How many networks a second a latency model predicts, on once-for-all's space of 10^19 networks.

    python benchmarks/predictions_per_second.py --json     # a minute; writes to docs/results/

Speed does not depend on the numbers in a table, so the table is emulated: made-up rows for every operator of the space
at each of its 25 resolutions, and 20 made-up checks. Arithmetic libraries are held to one thread. Told is the median
over repeats, and how far the predictions of a population are off those of single networks.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.latency.model import LatencyModel
from hwnas.latency.population import predict_many, predict_many_ms
from hwnas.measure.table import LatencyTable, row_key
from hwnas.measure.timing import Measurement
from hwnas.network import lower
from hwnas.ops.costs import operator_costs
from hwnas.population import Codebook, codebook_of
from hwnas.runtimes import Setup
from hwnas.space import Space, read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SPACE = "ofa_mobilenet_v3_w1.0"


def emulated_table(space: Space, codebook: Codebook, checks: int = 20) -> LatencyTable:
    """Rows that grow with an operator's MACs, unevenly, and whole networks that take a tenth less than their rows."""
    rng, hand = np.random.default_rng(0), random.Random(0)
    ms = {link: 0.005 + operator_costs(*link).macs / 2e7 * rng.uniform(0.5, 1.5) for link in codebook.links}

    def timed(ms: float) -> Measurement:
        return Measurement(tuple(1e6 * ms * rng.uniform(1, 1.05, size=10)))

    table = LatencyTable(Path("emulated"), Setup("emulated", "emulated", "0"), overhead=timed(0.01))
    table.rows = {row_key(*link): timed(0.01 + alone) for link, alone in ms.items()}
    for _ in range(checks):
        links = list(lower(space, space.random(hand)).links)
        table.checks[tuple(row_key(*link) for link in links)] = timed(0.01 + 0.9 * sum(ms[link] for link in links))
    return table


def rate(count: int, work: Callable[[], object], repeats: int = 7) -> float:
    """Networks a second, the median over repeats after one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(count / statistics.median(seconds))


def measure(count: int) -> dict[str, Any]:
    """All rates, in networks a second."""
    space = read_space(ROOT / f"search_spaces/{SPACE}.yaml")
    start = time.perf_counter()
    codebook = codebook_of(space)
    codebook_s = time.perf_counter() - start
    model = LatencyModel.of(emulated_table(space, codebook))
    rng = np.random.default_rng(0)
    codes = codebook.draw(count, rng)
    few, some = codes[: count // 50], codes[: count // 10]
    architectures = codebook.decode(few)
    singles = architectures[:200]
    halves = np.array_split(codes, 2)
    macs = [operator_costs(*link).macs for link in codebook.links]
    with ThreadPoolExecutor(2) as pool:
        rates = {
            "mean, from codes": rate(count, lambda: predict_many_ms(model, codebook, codes)),
            "mean, from codes, two threads": rate(
                count, lambda: list(pool.map(lambda part: predict_many_ms(model, codebook, part), halves))
            ),
            "MACs, from codes": rate(count, lambda: codebook.total(codes, macs)),
            "mean and interval, from codes": rate(len(some), lambda: predict_many(model, codebook, some), 3),
            "encoding": rate(len(few), lambda: codebook.encode(architectures)),
            "mean, from architectures": rate(
                len(few), lambda: predict_many_ms(model, codebook, codebook.encode(architectures))
            ),
            "drawing": rate(count, lambda: codebook.draw(count, rng), 3),
            "mean, one at a time": rate(200, lambda: [model.predict_ms(lower(space, one)) for one in singles]),
            "mean and interval, one at a time": rate(
                200, lambda: [model.predict(lower(space, one)) for one in singles]
            ),
        }
    alone = np.array([model.predict_ms(lower(space, one)) for one in singles])
    apart = np.abs(predict_many_ms(model, codebook, codebook.encode(singles)) / alone - 1).max()
    return {
        "space": space.name,
        "architectures": space.count,
        "operators": len(codebook.links),
        "table": "emulated",
        "networks": count,
        "codebook_s": round(codebook_s, 2),
        "networks_per_second": rates,
        "largest_relative_difference": float(apart),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    found = measure(asked.networks)
    report = {
        "command": "python benchmarks/predictions_per_second.py --json",
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine()),
        "versions": versions(),
        **found,
    }
    (asked.out / "predictions_per_second.json").write_text(json.dumps(report, indent=1) + "\n")
    if asked.json:
        print(json.dumps(report))
        return
    print(f"{found['operators']:,} operators, codebook in {found['codebook_s']} s")
    for what, per_second in found["networks_per_second"].items():
        print(f"{per_second:>12,}  {what}")


if __name__ == "__main__":
    main()
