"""A fresh process that times model files: a job as JSON on standard input, what it sees as JSON lines on standard
output. Board side: Python 3.9 syntax, no torch. Run as `python -m hwnas.latency.worker`."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwnas.errors import MissingExtra
from hwnas.latency.disturbance import Undisturbed
from hwnas.latency.measure import Target, Timing, measure
from hwnas.lookup import member
from hwnas.runtimes import RUNTIMES, Runtime, Setup
from hwnas.runtimes.cuda import gpu_state

REFERENCE = -1
"""Stands for the reference file where others stand for a place in the list of files."""
Tell = Callable[[dict[str, Any]], None]


def pinned(threads: int) -> list[int]:
    """Keep this process to as many processors as it has threads, the last ones it may use; the processors, sorted."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return []
    return cpus


def take(runtime: Runtime, files: list[Path], reference: Path | None, timing: Timing, tell: Tell) -> None:
    """Load the files, time them together, and tell: what is being loaded, what failed, rounds, and the samples.

    The order of loading is shuffled by the protocol's seed.
    """
    named = dict(enumerate(files)) if reference is None else {REFERENCE: reference, **dict(enumerate(files))}
    order = list(named)
    random.Random(timing.seed).shuffle(order)
    loaded: dict[int, Target] = {}
    for place in order:
        tell({"loading": place})
        try:
            model: Any = runtime.load(named[place])
            model.invoke()
        except MissingExtra:
            raise
        except Exception as error:  # one file that a runtime refuses must not cost the others their samples
            lines = str(getattr(error, "met", error)).strip().splitlines()
            tell({"failed": place, "why": lines[0] if lines else type(error).__name__})
        else:
            loaded[place] = model if hasattr(model, "sample_ns") else model.invoke
    tell({"loading": None})
    often, gpu = loaded.pop(REFERENCE, None), runtime.setup.accelerator == "cuda"
    before = gpu_state() if gpu else None
    if loaded:
        # A GPU's own time is not what the process waits for, so what the system counts of the process says nothing.
        watch = Undisturbed() if gpu else None
        measured = measure(loaded, timing, lambda *at: tell({"round": at}), reference=often, watch=watch)
        seen = {"gpu": [before, gpu_state()]} if gpu else {}
        for place, found in measured.items():
            tell({"timed": place, "rounds_ns": found.rounds_ns, "conditions": {**found.conditions, **seen}})


def main() -> None:
    """Read one job and do it."""
    channel = os.dup(1)
    os.dup2(2, 1)  # what a runtime prints is no answer
    job = json.loads(sys.stdin.read())
    setup, timing = Setup(**job["setup"]), Timing(**job["timing"])
    cpus = pinned(setup.threads) if timing.pin else []
    reference = job["reference"] and Path(job["reference"])
    with os.fdopen(channel, "w", encoding="utf-8") as answers:

        def tell(line: dict[str, Any]) -> None:
            answers.write(json.dumps(line) + "\n")
            answers.flush()

        runtime: Runtime = member(RUNTIMES, setup.runtime, what="runtime", where="set-up").open(setup)
        take(runtime, [Path(file) for file in job["files"]], reference, timing, tell)
        tell({"done": True, "cpus": cpus})


if __name__ == "__main__":
    main()
