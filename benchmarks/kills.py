"""Every stage of a run is killed at random moments, and started again until it ends: nothing may be lost by it.

    python benchmarks/kills.py --kills 30 --out docs/results/kills.json     # half an hour on two cores
    python benchmarks/kills.py --quick --stage search --stage training

A stage's command runs on a tiny experiment to its end, which tells how long it takes and what it gives. Then, from the
same beginning, it is killed with SIGKILL and its whole process group, at a moment that is drawn evenly from that time;
the same command is started again and killed again, and started again until it ends. It must end with exit code 0,
`hwnas doctor` must find no error, the results must be those of the run that was not disturbed (weights bit for bit,
trials, scores, fronts, rows), nothing may be told twice, no unfinished file and no process may stay. Of a search on Ray
each kind of process is killed: the driver, an actor, the desk that hands out work, the node, the cluster's server.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import multiprocessing
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # Ray's workers import the same hwnas

from benchmarks import _kill_process  # noqa: E402
from benchmarks._kill_process import Ended, Started  # noqa: E402
from benchmarks._kill_stages import STAGES, Stage, prepare  # noqa: E402
from hwnas.workspace.environment import machine, versions  # noqa: E402

KILLED_TWICE = 2
"""So many kills in one trial, one after the other, before the command may end."""
MISSES = 6
"""After so many starts that ended before they were killed, a trial has as many kills as it has."""
SOONER = 0.7
"""Where a start ended before it was killed, later ones are killed within this share of the time."""
ROUNDS = 4
"""How often trials are added where kills are lacking."""
SLOWER, PATIENCE_S = 10, 120
"""A start hangs if it takes so many times the undisturbed run's time and so many seconds more."""
STARTS = 6
"""After so many starts that were not killed and did not end with exit code 0, a trial is given up."""


@dataclass
class Trial:
    """What became of one run that was killed."""

    stage: str
    number: int
    kills: list[float] = field(default_factory=list)
    """Seconds after the start of each kill."""
    missed: int = 0
    """Starts that ended before they were killed."""
    codes: list[int] = field(default_factory=list)
    """Exit codes of the starts that were not killed as a whole."""
    errors: list[str] = field(default_factory=list)
    """What these said, where it was an error of hwnas."""
    wrong: list[str] = field(default_factory=list)


def reference(stage: Stage, top: Path) -> float:
    """Let the stage end undisturbed; the seconds that it takes, or that the process lives which is to be killed."""
    folder = top / "whole" / stage.name.replace(" ", "_").replace(":", "")
    if folder.exists():
        return float((folder / "seconds").read_text())
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(top / stage.before, draft)
    mark = f"whole-{os.getpid()}"
    started = [_kill_process.start(argv, draft, mark) for argv in stage.commands]
    begun = _appeared(stage, started, mark)
    ends = [one.wait() for one in started]
    seconds = time.monotonic() - begun
    if any(end.code for end in ends):
        raise RuntimeError(f"{stage.name} fails without a kill: {ends}")
    _kill_process.survivors(mark)
    (draft / "seconds").write_text(str(seconds))
    draft.rename(folder)
    return seconds


def tried(stage: Stage, number: int, seed: int, kills: int, top: Path, keep: Path | None) -> Trial:
    """Kill a stage so many times, let it end, and look at what it left."""
    seconds, rng = reference(stage, top), random.Random(f"{seed}/{stage.name}/{number}")
    limit = seconds * SLOWER + PATIENCE_S
    trial, mark = Trial(stage.name, number), f"{os.getpid()}-{stage.name.replace(' ', '_')}-{number}"
    with tempfile.TemporaryDirectory(prefix="hwnas-kills-") as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(top / stage.before, folder)
        errs: list[str] = []
        while len(trial.kills) < kills and trial.missed < MISSES:
            missed, ends = trial.missed, list(_disturbed(stage, folder, mark, seconds, limit, rng, trial))
            errs += [end.err for end in ends]
            if trial.missed > missed:
                if trial.kills:  # it has ended, after a kill
                    break
                seconds *= SOONER
                shutil.rmtree(folder)
                shutil.copytree(top / stage.before, folder)
        for _ in range(STARTS):
            started = [_kill_process.start(argv, folder, mark) for argv in stage.commands]
            ends = [one.wait(limit) for one in started]
            trial.codes += [end.code for end in ends]
            errs += [end.err for end in ends]
            if not any(end.code for end in ends):
                break
        else:
            trial.wrong.append(f"it does not end any more: {errs[-1].strip()[-300:]}")
        trial.wrong += _wrong(stage, folder, top, mark, errs)
        if trial.wrong and keep is not None:
            kept = keep / mark
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            (kept / "trial.json").write_text(
                json.dumps(asdict(trial) | {"said": [err[-3000:] for err in errs]}, indent=1)
            )
    return trial


def _disturbed(
    stage: Stage, folder: Path, mark: str, seconds: float, limit: float, rng: random.Random, trial: Trial
) -> Iterator[Ended]:
    """Start the stage, kill it or one of its processes, and wait for the end."""
    started = [_kill_process.start(argv, folder, mark) for argv in stage.commands]
    victim, before = rng.choice(started), len(trial.kills)
    while len(trial.kills) < before + (1 if stage.kind is None else KILLED_TWICE):
        moment = _appeared(stage, started, mark) + rng.uniform(0, seconds)
        while time.monotonic() < moment and not all(one.is_over() for one in started):
            time.sleep(0.002)
        if not _hit(stage, victim, mark, rng):
            break
        trial.kills.append(round(time.monotonic() - started[0].since, 3))
    trial.missed += len(trial.kills) == before
    for one in started:
        ended = one.wait(limit)
        if not (stage.kind is None and one is victim):
            trial.codes.append(ended.code)
            error = re.search(r"^error: ([^\n]{1,160})", ended.err, re.MULTILINE)
            if error:
                trial.errors.append(error[1])
            elif ended.code:
                trial.wrong.append(f"exit code {ended.code} without an error of hwnas")
        yield ended
    if stage.name.startswith("search on Ray"):
        _kill_process.survivors(mark)


def _hit(stage: Stage, victim: Started, mark: str, rng: random.Random) -> bool:
    """Kill the command with its process group, or a process of the stage's kind; return whether there was one."""
    if stage.kind is not None:
        return _kill_process.kill_one(mark, stage.kind, rng.choice) is not None
    if victim.is_over() is not None:
        return False
    victim.kill()
    return True


def _appeared(stage: Stage, started: Sequence[Started], mark: str) -> float:
    """The moment at which there is what is to be killed: the command, or a process of the kind."""
    if stage.kind is not None:
        while not _kill_process.is_there(mark, stage.kind) and not all(one.is_over() for one in started):
            time.sleep(0.05)
        return time.monotonic()
    return started[0].since


def _wrong(stage: Stage, folder: Path, top: Path, mark: str, errs: Sequence[str]) -> Iterator[str]:
    """What a trial left that must not be."""
    for err in errs:
        if traced := re.search(r"Traceback[^\n]*\n(?: [^\n]*\n|\n)*([^\n]+)", err):
            yield f"a traceback: {traced[1][:200]}"
    if left := _kill_process.survivors(mark):
        yield f"processes stay: {', '.join(left[:3])}"
    for path in sorted(folder.rglob("*")):
        if (
            path.suffix == ".part"
            or (path.name.startswith(".") and path.name != ".lock")
            or path.name.endswith(".pyz.files")
        ):
            yield f"left over: {path.relative_to(folder)}"
    whole = top / "whole" / stage.name.replace(" ", "_").replace(":", "")
    try:
        yield from stage.compare(whole, folder)
    except Exception as error:  # what is cut short is a fault like others
        yield f"its results cannot be read: {type(error).__name__}: {error}"
    if stage.run is not None:
        end = _kill_process.start(("doctor", stage.run, "--json"), folder, mark).wait()
        if end.code:
            yield f"doctor ends with {end.code}: {_doctor(folder, stage.run)} {end.err.strip()[-300:]}"


def _doctor(folder: Path, run: str) -> str:
    from hwnas import pipeline

    return "; ".join(
        f"{one.where}: {one.problem}" for one in pipeline.doctor(folder / run).issues if one.severity == "error"
    )[:500]


def _named(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def _referred(name: str, top: Path) -> float:
    return reference(_named(name), top)


def _task(given: tuple[str, int, int, int, Path, Path | None]) -> Trial:
    name, number, seed, kills, top, keep = given
    stage = _named(name)
    begun = time.monotonic()
    try:
        trial = tried(stage, number, seed, kills, top, keep)
    except Exception as error:  # a fault of the instrument, or of the stage without a kill
        trial = Trial(name, number, wrong=[f"the trial fails: {type(error).__name__}: {str(error)[:500]}"])
    print(
        f"{name} {number}: {time.monotonic() - begun:.0f} s, kills {trial.kills}, codes {trial.codes}, {trial.errors}, "
        f"{trial.wrong or 'all is well'}",
        file=sys.stderr,
        flush=True,
    )
    return trial


def _all_trials(
    pool: ProcessPoolExecutor, stages: Sequence[Stage], kills: int, seed: int, top: Path, keep: Path | None
) -> list[Trial]:
    """Trials of each stage, until each has its kills: of those that were begun, some end before they are killed."""
    trials: list[Trial] = []
    for _ in range(ROUNDS):
        done, begun = Counter[str](), Counter(trial.stage for trial in trials)
        for trial in trials:
            done[trial.stage] += len(trial.kills)
        tasks = [
            (stage.name, begun[stage.name] + number, seed, KILLED_TWICE, top, keep)
            for stage in stages
            for number in range(-(-max(0, kills - done[stage.name]) // KILLED_TWICE))
        ]
        trials += pool.map(_task, tasks)
    return trials


def summary(stage: Stage, trials: Sequence[Trial], top: Path) -> dict[str, Any]:
    """The counts of a stage."""
    wrong = Counter(text for trial in trials for text in trial.wrong)
    return {
        "stage": stage.name,
        "killed": stage.kind or "the command and its process group",
        "undisturbed_s": round(reference(stage, top), 2),
        "trials": len(trials),
        "kills": sum(len(trial.kills) for trial in trials),
        "ended_before_the_kill": sum(trial.missed for trial in trials),
        "exit_codes": dict(sorted(Counter(str(code) for trial in trials for code in trial.codes).items())),
        "errors": dict(Counter(_unnumbered(text) for trial in trials for text in trial.errors).most_common()),
        "wrong_trials": sum(bool(trial.wrong) for trial in trials),
        "wrong": dict(wrong.most_common()),
    }


def _unnumbered(text: str) -> str:
    """Return a message without what differs from run to run, so that like ones are counted together."""
    return re.sub(r"\d+(\.\d+){3}:\d+", "host:port", text)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="of each stage")
    parser.add_argument("--quick", action="store_true", help="four kills of each stage")
    parser.add_argument(
        "--stage", action="append", help=f"only this one, repeatable: {', '.join(stage.name for stage in STAGES)}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the folders of trials in which something was wrong")
    parser.add_argument("--base", type=Path, help="where what stages begin with is kept from one call to the next")
    parser.add_argument("--out", type=Path, help="the result's file, such as docs/results/kills.json")
    return parser.parse_args()


def main() -> None:
    """Print the counts, and write them with --out. Exit code 1 if something was wrong."""
    asked = _asked()
    kills = 4 if asked.quick else asked.kills
    stages = [stage for stage in STAGES if not asked.stage or stage.name in asked.stage]
    with tempfile.TemporaryDirectory(prefix="hwnas-kills-") as scratch:
        top = (asked.base or Path(scratch) / "base").absolute()
        context = multiprocessing.get_context("spawn")
        if not (top / "ready").exists():
            top.mkdir(parents=True, exist_ok=True)
            prepare(top)
            (top / "ready").touch()
        begun = time.monotonic()
        with ProcessPoolExecutor(1, context, _kill_process.warm) as one:
            list(one.map(_referred, [stage.name for stage in stages], [top] * len(stages)))
        with ProcessPoolExecutor(asked.workers, context, _kill_process.warm) as pool:
            trials = _all_trials(pool, stages, kills, asked.seed, top, asked.keep)
        report = {
            "benchmark": "kills", "date": datetime.now(UTC).date().isoformat(), "machine": dict(machine()),
            "versions": versions(), "seed": asked.seed, "seconds": round(time.monotonic() - begun),
            "kills": sum(len(trial.kills) for trial in trials),
            "wrong_trials": sum(bool(trial.wrong) for trial in trials),
            "stages": [summary(stage, [t for t in trials if t.stage == stage.name], top) for stage in stages],
        }  # fmt: skip
    print(json.dumps(report, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if report["wrong_trials"] else 0)


if __name__ == "__main__":
    main()
