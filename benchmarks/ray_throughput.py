"""How many architectures a second come through Ray, and what a second worker gains.

    python benchmarks/ray_throughput.py --json                # four minutes; writes to docs/results/
    python benchmarks/ray_throughput.py --trials 500 --slow 8 --out /tmp

First a score that costs nothing, in batches, on two workers, from the first architecture asked to the last one told;
the start of Ray and of its actors is told apart. Then a score of one second on one worker and on two: the speed-up is
the time of one over that of two, ideal is 2. Every trial is told to a study with a journal file.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.pareto import Objective, Tier
from hwnas.search.evaluate import Evaluation
from hwnas.search.progress import Progress
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.workers.ray_tune import Scoring, Workers, run_on_ray
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture, FunctionSpace
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SPACE = FunctionSpace("throughput", lambda choose: [choose(f"c{index}", (0, 1, 2, 3)) for index in range(20)])
TIER = Tier("toy", (Objective("top1@toy", "max"), Objective("latency_ms@toy", "min")))


def scoring(seconds: float) -> Scoring:
    """A score that takes so long; made in each actor."""

    def score(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        time.sleep(seconds)
        values = [int(value) for _, value in architecture.picks]
        cost = float(sum(index * value for index, value in enumerate(values)))
        return Evaluation(architecture, {"top1@toy": float(sum(values)), "latency_ms@toy": cost})

    return score


def timed(trials: int, workers: Workers, make: Callable[[], Scoring], sampler: str) -> dict[str, Any]:
    """Seconds until every worker is at work (three batches each were told), and from there to the last."""
    stamps: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        stamps.append((time.perf_counter(), progress.trials))

    with tempfile.TemporaryDirectory() as folder:
        study = open_study(StudySpec(SPACE, TIER, sampler), Path(folder) / "study.log")
        start = time.perf_counter()
        run_on_ray(study, make, trials, workers, note)
    (first, begun), (last, told) = stamps[min(3 * workers.count, len(stamps) // 2) - 1], stamps[-1]
    return {"workers": workers.count, "batch": workers.batch, "trials": told, "start_s": round(first - start, 2),
            "seconds": round(last - first, 3), "per_second": round((told - begun) / (last - first), 4)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="architectures with the score that costs nothing")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--slow", type=int, default=100, help="architectures with the slow score")
    parser.add_argument("--seconds", type=float, default=1.0, help="of the slow score")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    trivial = timed(asked.trials, Workers(2, batch=asked.batch), partial(scoring, 0.0), asked.sampler)
    print(f"a score that costs nothing: {trivial['per_second']:,.0f} architectures a second", flush=True)
    slow = [timed(asked.slow, Workers(n), partial(scoring, asked.seconds), asked.sampler) for n in (1, 2)]
    efficiency = round(slow[1]["per_second"] * asked.seconds / 2, 4)
    print(f"a score of {asked.seconds} s: two workers reach {efficiency:.1%} of {2 / asked.seconds:g} a second")
    report = {
        "benchmark": "ray_throughput",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine()),
        "versions": versions(),
        "sampler": asked.sampler,
        "trivial": trivial,
        "slow_score_s": asked.seconds,
        "slow": slow,
        "share_of_ideal": efficiency,
        "speed_up": round(slow[1]["per_second"] / slow[0]["per_second"], 3),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "ray_throughput.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if asked.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
