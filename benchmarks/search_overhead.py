"""What the search's own loop costs a trial, part by part, and how that grows with the number of trials.

    python benchmarks/search_overhead.py --json                 # about ten minutes; writes to docs/results/
    python benchmarks/search_overhead.py --trials 100 1000 --parts 50 --out /tmp

A trial is asked, its genome becomes an architecture (encode), its score is looked up in the store, kept there, and the
trial is told and kept. Scores cost nothing: what is timed is the loop. Beside it stands Optuna's own loop (ask with
the same 20 choices, tell two values) with the same sampler and storage. A part's cost is a mean over all trials.
Growth is timed in one study in memory: the seconds until the 100th, the 1,000th, ... trial.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna

from hwnas.pareto import Limit, Objective, Tier
from hwnas.report.charts.svg import svg, text
from hwnas.report.markup import Html, el, join
from hwnas.search.evaluate import evaluate
from hwnas.search.genome import Genome
from hwnas.search.samplers import make_sampler
from hwnas.search.score_store import ScoreStore
from hwnas.search.storage.backends import journal
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture, FunctionSpace
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
CHOICES = 20
SPACE = FunctionSpace("overhead", lambda choose: [choose(f"c{index}", (0, 1, 2, 3)) for index in range(CHOICES)])
ACCURACY, COST = "top1@toy", "latency_ms@toy"
TIER = Tier("toy", (Objective(ACCURACY, "max"), Objective(COST, "min")), (Limit(COST, 400.0),))
"""About one network in three is over the limit, and so is told without its accuracy."""
COLOURS = ("#1b6ca8", "#c2562d", "#2f8f5b", "#7b4fa3")
STYLE = """
text { font: 13px sans-serif; fill: #222 } .muted { fill: #777 } .card { fill: #fff }
.line { fill: none; stroke-width: 2 } .dashes { stroke: #999; stroke-dasharray: 5 5 } text.dashes { stroke: none }
""" + "".join(f"polyline.s{i} {{ stroke: {c} }} text.s{i} {{ fill: {c} }} " for i, c in enumerate(COLOURS))
STORAGES: dict[str, Callable[[Path], Path | str | None]] = {
    "memory": lambda folder: None,
    "journal": lambda folder: folder / "study.log",
    "sqlite": lambda folder: f"sqlite:///{folder}/study.db",
}


def top1(architecture: Architecture) -> float:
    """A made-up accuracy, unlike for unlike architectures."""
    return sum(math.sqrt(1 + int(value) * (index + 1)) for index, (_, value) in enumerate(architecture.picks))


def latency(architecture: Architecture) -> float:
    """A made-up latency."""
    return sum(int(value) * (index % 7 + 9) for index, (_, value) in enumerate(architecture.picks))


def loop(storage: Path | str | None, folder: Path, sampler: str, trials: int) -> dict[str, float]:
    """Milliseconds a trial of hwnas's loop, by part."""
    study = open_study(StudySpec(SPACE, TIER, sampler), storage)
    store = ScoreStore.open(folder / "scores.jsonl")
    scorers, producers = {COST: latency, ACCURACY: top1}, {ACCURACY: "toy"}
    genome, spent = Genome(SPACE), dict.fromkeys(("ask", "encode", "look up", "score store", "tell and keep"), 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        spent[part] += time.perf_counter() - start
        return found

    for _ in range(trials):
        trial = timed("ask", study.ask)
        timed("encode", lambda t=trial: genome.decode(t.proposal.params))
        timed("look up", lambda t=trial: store.get(t.architecture, ACCURACY, "toy"))
        found = timed("score store", lambda t=trial: evaluate(t.architecture, scorers, TIER, store, producers))
        timed("tell and keep", lambda t=trial, f=found: study.tell(t, f))
    return {part: round(seconds / trials * 1e3, 4) for part, seconds in spent.items()}


def optunas_own(storage: Path | str | None, sampler: str, trials: int) -> float:
    """Milliseconds a trial of Optuna's loop."""
    backend = journal(storage)[0] if isinstance(storage, Path) else storage
    made = make_sampler(sampler, 0, 20)
    study = optuna.create_study(storage=backend, sampler=made, directions=["maximize", "minimize"])
    genes = Genome(SPACE).distributions
    start = time.perf_counter()
    for _ in range(trials):
        trial = study.ask(genes)
        values = [float(value) for value in trial.params.values()]
        study.tell(trial, [sum(values), sum(index * value for index, value in enumerate(values))])
    return round((time.perf_counter() - start) / trials * 1e3, 3)


def parts(sampler: str, trials: int) -> list[dict[str, Any]]:
    """hwnas's loop beside Optuna's, by storage."""
    found = []
    for name, place in STORAGES.items():
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            of_optuna = optunas_own(place(Path(first)), sampler, trials)
            own = loop(place(Path(second)), Path(second), sampler, trials)
        total = round(sum(own.values()) - own["encode"] - own["look up"], 3)  # ask and evaluate hold these already
        beyond = round(total - of_optuna, 3)
        found.append(
            {"sampler": sampler, "storage": name, "trials": trials, "parts_ms": own, "loop_ms": total,
             "optuna_ms": of_optuna, "beyond_optuna_ms": beyond}
        )  # fmt: skip
        print(f"{sampler}, {name}: {total} ms a trial, Optuna's own loop {of_optuna} ms", flush=True)
    return found


def growth(sampler: str, storage: str, trials: Sequence[int]) -> dict[str, Any]:
    """Seconds until so many trials were asked, scored and told, and then to open the study again."""
    told: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        plan, place = StudySpec(SPACE, TIER, sampler), STORAGES[storage](Path(folder))
        study, start = open_study(plan, place), time.perf_counter()
        for count in trials:
            study.run(lambda a: evaluate(a, {COST: latency, ACCURACY: top1}, TIER), count)
            told.append(round(time.perf_counter() - start, 3))
            print(f"{sampler}, {storage}: {count:,} trials in {told[-1]:.1f} s", flush=True)
        start = time.perf_counter()
        reopened = len(open_study(plan, place).evaluations) if place is not None else None
        again = round(time.perf_counter() - start, 3) if reopened else None
    first, last = (told[0], trials[0]), (told[-1], trials[-1])
    power = math.log(last[0] / first[0]) / math.log(last[1] / first[1]) if len(trials) > 1 else math.nan
    return {"sampler": sampler, "storage": storage, "trials": list(trials), "seconds": told, "reopened_s": again,
            "power": round(power, 3)}  # fmt: skip


def plot(grown: Sequence[dict[str, Any]], path: Path) -> None:
    """Seconds over trials, both logarithmic; the dashed line is linear growth."""
    lines = {f"{g['sampler']}, {g['storage']}": list(zip(g["trials"], g["seconds"], strict=True)) for g in grown}
    points = [point for line in lines.values() for point in line]
    (left, right), (low, high) = ([f(axis) for f in (_floor, _ceil)] for axis in zip(*points, strict=True))
    width, height, edge = 640, 420, 60

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - left) / (right - left)
        up = (math.log10(y) - low) / (high - low)
        return edge + across * (width - edge - 170), height - edge - up * (height - 2 * edge)

    drawn = [text(edge, 30, "Seconds until so many trials were asked, scored and told; dashed: linear growth")]
    for power in range(left, right + 1):
        x, y = at(10**power, 10**low)
        drawn.append(text(x, y + 22, f"{10**power:,}", text_anchor="middle", class_="muted"))
    for power in range(low, high + 1):
        x, y = at(10**left, 10**power)
        drawn.append(text(x - 8, y + 4, f"{10**power:g} s", text_anchor="end", class_="muted"))
    first = points[0]
    drawn.append(_line([at(*first), at(10**right, first[1] * 10**right / first[0])], "", "dashes"))
    drawn += [_line([at(*point) for point in line], name, f"s{i}") for i, (name, line) in enumerate(lines.items())]
    path.write_text(str(svg(width, height, STYLE, "How the cost of a search grows", *drawn)), encoding="utf-8")


def _floor(values: Sequence[float]) -> int:
    return math.floor(math.log10(min(values)))


def _ceil(values: Sequence[float]) -> int:
    return math.ceil(math.log10(max(values)))


def _line(points: Sequence[tuple[float, float]], name: str, style: str) -> Html:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return join(el("polyline", points=path, class_=f"line {style}"), text(x + 8, y + 4, name, class_=f"name {style}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=["random", "nsga2"])
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--parts", type=int, default=300, help="trials from which the parts' means are taken")
    parser.add_argument("--kept", type=int, default=10_000, help="most trials whose growth is timed in a journal file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = sorted(asked.trials)
    grown = [growth(sampler, "memory", trials) for sampler in asked.samplers]
    grown.append(growth(asked.samplers[0], "journal", [n for n in trials if n <= asked.kept] or trials[:1]))
    report = {
        "benchmark": "search_overhead",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {**versions(), "optuna": optuna.__version__},
        "choices": CHOICES,
        "a_trial": [row for sampler in asked.samplers for row in parts(sampler, asked.parts)],
        "growth": grown,
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "search_overhead.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(grown, asked.out / "search_overhead.svg")
    if asked.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
