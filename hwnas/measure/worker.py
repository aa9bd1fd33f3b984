"""A fresh process that times model files: a job as JSON on standard input, events as JSON lines on standard output.
Board side: Python 3.9 syntax, no torch. Run as `python -m hwnas.measure.worker`."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, MissingExtra, reason
from hwnas.measure.conditions.cores import chosen, pinned_to
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.events import Events, EventWriter
from hwnas.measure.noise import NoPreemption
from hwnas.measure.timing import Target, Timing, measure
from hwnas.registry import member
from hwnas.runtimes import Runtime, Setup, open_setup
from hwnas.runtimes.cuda import gpu_state
from hwnas.runtimes.denormals import denormals_flushed

REFERENCE_INDEX = -1
"""Stands for the reference file where other numbers stand for an index in the list of files."""


def run_job(
    runtime: Runtime,
    files: list[Path],
    reference: Path | None,
    timing: Timing,
    events: Events,
    cpus: Sequence[int] = (),
) -> None:
    """Load the files, time them together, and report: what is being loaded, what failed, rounds, and the samples.

    The order of loading is shuffled by the protocol's seed. `cpus` are the processors that this process keeps to.
    """
    named = dict(enumerate(files)) if reference is None else {REFERENCE_INDEX: reference, **dict(enumerate(files))}
    order = list(named)
    random.Random(timing.seed).shuffle(order)
    loaded: dict[int, Target] = {}
    delegates: dict[int, str] = {}
    for index in order:
        events.started(index)
        try:
            model: Any = runtime.load(named[index])
            model.invoke()
        except MissingExtra:
            raise
        except Exception as error:  # one file that a runtime refuses must not cost the others their samples
            events.failed(index, error.met if isinstance(error, HwnasError) else reason(error))
        else:
            loaded[index] = model if hasattr(model, "sample_ns") else model.invoke
            if delegate := getattr(model, "delegate", ""):
                delegates[index] = delegate
    events.started(None)
    often, gpu = loaded.pop(REFERENCE_INDEX, None), runtime.setup.accelerator == "cuda"
    before = gpu_state() if gpu else None
    if loaded:
        # A GPU's own time is not what the process waits for, so what the system counts of the process says nothing.
        watch = NoPreemption() if gpu else None
        measured = measure(
            loaded, timing, events.round, reference=often, watch=watch, rounds=timing.watch(cpus, gpu=gpu)
        )
        seen = {"gpu": [before, gpu_state()]} if gpu else {}
        for index, measurement in measured.items():
            by = {"delegate": delegates[index]} if index in delegates else {}
            conditions = {**measurement.conditions, **seen, **by}
            events.sample(index, {"rounds_ns": measurement.rounds_ns, "conditions": conditions})


def take_times(runtime: Runtime, job: Mapping[str, Any], events: Events, cpus: Sequence[int]) -> None:
    """Time the job's files together."""
    reference = job["reference"] and Path(job["reference"])
    run_job(runtime, [Path(file) for file in job["files"]], reference, Timing(**job["timing"]), events, cpus)


JOBS: Mapping[str, str] = {  # what a job asks for -> what does it; imported on use
    "times": "hwnas.measure.worker:take_times",
    "energy": "hwnas.measure.energy.job:take_energy",
    "memory": "hwnas.measure.memory:take_memory",
}


def main() -> None:
    """Read one job and do it."""
    channel = os.dup(1)
    os.dup2(2, 1)  # what a runtime prints is no answer
    job = json.loads(sys.stdin.read())
    setup = Setup(**job["setup"])
    act = member(JOBS, job.get("task", "times"), what="task", where="job")
    wanted = chosen(setup.cores, setup.threads, job["timing"].get("pin", True), Tree())
    answering, keeping = os.fdopen(channel, "w", encoding="utf-8"), pinned_to(wanted, surely=bool(setup.cores))
    with answering as answers, keeping as cpus, denormals_flushed():
        events = EventWriter(answers)
        runtime: Runtime = open_setup(setup)
        act(runtime, job, events, cpus)
        events.done()


if __name__ == "__main__":
    main()
