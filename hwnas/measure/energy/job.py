"""Energies of many files, by fresh processes. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, SensorError, reason
from hwnas.measure.conditions.cores import chosen
from hwnas.measure.conditions.rounds import conditions_between
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.device_lock import DEFAULT_WAIT, LockWait, exclusive_device
from hwnas.measure.energy.meter import Energy, EnergyProtocol, Meter, energy_of
from hwnas.measure.energy.sensor import find_sensor
from hwnas.measure.events import Events, Outcomes, Progress, no_progress
from hwnas.measure.timing import Timing
from hwnas.measure.worker_process import run_worker
from hwnas.runtimes import Runtime
from hwnas.words import counted


def measure_energy(
    files: Sequence[Path],
    runtime: Runtime,
    protocol: EnergyProtocol,
    *,
    pin: bool = True,
    progress: Progress = no_progress,
    queue: LockWait = DEFAULT_WAIT,
) -> Iterator[tuple[int, Energy | str]]:
    """Yield the index in `files`, and the energy of a call or why there is none.

    A file at which the process ends costs the others nothing.

    Raises:
        SensorError: there is no sensor, or it cannot be read, or stands still.
        HostAway: somebody else measures on this machine for longer than `queue` allows.
        ConfigError: the set-up's cores are not those of this machine.
    """
    Meter(_sensor(protocol, runtime))
    chosen(runtime.setup.cores, runtime.setup.threads, pin, Tree())
    waiting = list(range(len(files)))
    while waiting:
        before = len(files) - len(waiting)
        job = {
            "task": "energy",
            "setup": runtime.setup.as_dict(),
            "timing": asdict(Timing(pin=pin)),
            "files": [str(files[index].absolute()) for index in waiting],
            "energy": asdict(protocol),
        }
        outcomes = Outcomes(_energy, partial(_further, progress, before, len(files)))
        with exclusive_device(queue) as lock:
            why = run_worker(job, runtime.setup.threads, outcomes, holding=[lock])
        results = outcomes.results
        if len(results) < len(waiting):
            results.append((len(results), why or "the measuring process ended early"))
        yield from ((waiting[index], outcome) for index, outcome in results)
        waiting = waiting[len(results) :]


def _energy(values: Mapping[str, Any]) -> Energy:
    return Energy(tuple(values["mj"]), values["conditions"])


def _further(progress: Progress, before: int, planned: int, done: int) -> None:
    progress(before + done, planned, f"measuring the energy of {counted(planned, 'file')}")


def take_energy(runtime: Runtime, job: Mapping[str, Any], events: Events, cpus: Sequence[int]) -> None:
    """Measure file after file, in this process."""
    protocol = EnergyProtocol(**job["energy"])
    meter = Meter(_sensor(protocol, runtime))
    watch = Timing(**job["timing"]).watch(cpus, gpu=runtime.setup.accelerator == "cuda")
    for index, file in enumerate(job["files"]):
        before = watch.state()
        try:
            model = runtime.load(Path(file))
            energy = energy_of(model.invoke, meter, protocol)
        except SensorError as error:
            events.failed(index, error.met)
        except Exception as error:  # one file that a runtime refuses must not cost the others
            events.failed(index, error.met if isinstance(error, HwnasError) else reason(error))
        else:
            state = conditions_between(before, watch.state())
            conditions = {**state, **watch.facts(), **energy.conditions}
            events.sample(index, {"mj": energy.mj, "conditions": conditions})


def _sensor(protocol: EnergyProtocol, runtime: Runtime) -> Any:
    return find_sensor(protocol.sensor, protocol.command, cuda=runtime.setup.accelerator == "cuda")
