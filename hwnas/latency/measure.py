"""How long callables take: the protocol as data, raw samples out. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import datetime
import itertools
import math
import os
import platform
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, Union

import numpy as np

from hwnas.errors import ConfigError
from hwnas.latency.disturbance import SystemWatch, Undisturbed, Watch
from hwnas.quiet import uncollected

Key = TypeVar("Key", bound=Hashable)
Clock = Callable[[], int]


class Sampled(Protocol):
    """What takes its own samples, such as an accelerator with events."""

    def sample_ns(self, loops: int) -> float:
        """Nanoseconds that `loops` calls took, as the device saw them."""


Target = Union[Callable[[], None], Sampled]

LOW = 0.1
"""Which quantile over rounds is `low_ms`: noise only ever adds, and a minimum would hang on a single sample."""
FEWEST_ROUNDS = 3
OFTEN = 8
"""The reference is sampled after so many others."""
REFERENCE = "reference_ns"
"""The condition that holds, for each round, the reference's time in it: what the machine's state was."""


@dataclass(frozen=True)
class Timing:
    """The measuring protocol. In each round every callable of a group gives one sample, in shuffled order, so that a
    slow spell of the machine hits all of them instead of one."""

    warm_up_ms: float = 20.0
    """How long each callable runs before its first sample."""
    sample_ms: float = 5.0
    """Least duration of a sample: fast callables are repeated within it, and the sample is divided."""
    rounds: int = 60
    """Samples of each callable, over all processes."""
    processes: int = 6
    """Fresh processes among which the rounds are divided, each of which loads the files in another order: where weights
    and buffers come to lie in memory shifts a file's times by a percent or two. 0 measures in the calling process."""
    group: int = 256
    """How many files are interleaved at once, if they fit into a quarter of the memory."""
    retakes: float = 0.5
    """Samples that were taken while others used the processor are taken again, up to this share of all samples."""
    pin: bool = True
    """Whether a process keeps to as many processors as the set-up has threads."""
    seed: int = 0
    max_seconds: float | None = None
    """No round begins after so many seconds of measuring, but three rounds there are at least."""

    def __post_init__(self) -> None:
        least = {
            "warm_up_ms": 0, "sample_ms": 0, "rounds": FEWEST_ROUNDS, "processes": 0, "group": 1, "retakes": 0,
            "max_seconds": 0,
        }  # fmt: skip
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= bound):
                raise ConfigError(
                    f"`{name}: {value}`", where="timing", allowed=f"`{name}` is {bound} or more", do=f"Correct `{name}`"
                )


@dataclass(frozen=True)
class Measurement:
    """Nanoseconds per call, one number for each round, and what the machine was doing meanwhile."""

    rounds_ns: tuple[float, ...]
    conditions: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.rounds_ns or not all(math.isfinite(ns) and ns > 0 for ns in self.rounds_ns):
            raise ValueError("samples are finite numbers above 0, and there is at least one")

    @property
    def low_ms(self) -> float:
        """The time on a quiet machine, a low quantile over rounds: what predictions are made of."""
        return self.quantile_ms(LOW)

    @property
    def median_ms(self) -> float:
        """The middle over rounds."""
        return self.quantile_ms(0.5)

    @property
    def p90_ms(self) -> float:
        """Nine rounds in ten were at most this slow."""
        return self.quantile_ms(0.9)

    @property
    def p99_ms(self) -> float:
        """The slow tail; with fewer than a hundred rounds it is close to the slowest."""
        return self.quantile_ms(0.99)

    @property
    def spread(self) -> float | None:
        """Interquartile range over median, None under four rounds; above 0.1 the measurement is noisy."""
        if len(self.rounds_ns) < 4:
            return None
        low, middle, high = np.quantile(self.rounds_ns, (0.25, 0.5, 0.75))
        return float((high - low) / middle)

    def quantile_ms(self, q: float) -> float:
        """The quantile `q` over rounds, interpolated."""
        return float(np.quantile(self.rounds_ns, q)) / 1e6


def measure(
    targets: Mapping[Key, Target],
    timing: Timing,
    on_round: Callable[[int, int], None] | None = None,
    *,
    reference: Target | None = None,
    clock: Clock = time.perf_counter_ns,
    watch: Watch | None = None,
) -> dict[Key, Measurement]:
    """Warm up all targets, then sample them in interleaved rounds, in this process.

    All of `targets` are one group; `timing.group` and `timing.processes` are for the caller, who knows what fits into
    memory together. A sample that the watch calls disturbed is taken again while `timing.retakes` lasts. The reference
    gives a sample after every few others; every measurement tells the median of these in each round. `on_round` is told
    (rounds done, rounds planned); its own time is not measured.
    """
    sampler = _Sampler(timing, clock, watch or (SystemWatch() if clock is time.perf_counter_ns else Undisturbed()))
    loops = {key: sampler.warmed_up_loops(target) for key, target in targets.items()}
    samples: dict[Key, list[float]] = {key: [] for key in targets}
    reference_loops = 0 if reference is None else sampler.warmed_up_loops(reference)
    reference_ns: list[float] = []
    order, rng = list(targets), random.Random(timing.seed)
    sampler.spare = int(timing.retakes * timing.rounds * len(targets))
    before, begin = machine_state(), clock()
    for done in range(1, timing.rounds + 1):
        rng.shuffle(order)
        often: list[float] = []
        for number, key in enumerate(order):
            if reference is not None and number % OFTEN == 0:
                often.append(sampler.clean_sample_ns(REFERENCE, reference, reference_loops))
            samples[key].append(sampler.clean_sample_ns(key, targets[key], loops[key]))
        if often:
            reference_ns.append(round(statistics.median(often), 1))
        if on_round is not None:
            on_round(done, timing.rounds)
        if timing.max_seconds is not None and done >= FEWEST_ROUNDS and clock() - begin > timing.max_seconds * 1e9:
            break
    conditions = conditions_between(before, machine_state())
    seen = {REFERENCE: reference_ns} if reference_ns else {}
    return {
        key: Measurement(
            tuple(round(ns, 1) for ns in samples[key]),
            {**conditions, "loops": loops[key], "retaken": sampler.retaken[key], "disturbed": sampler.disturbed[key]}
            | seen,
        )
        for key in targets
    }


class _Sampler:
    """Takes samples, and takes a disturbed one again while there is time to spare."""

    def __init__(self, timing: Timing, clock: Clock, watch: Watch) -> None:
        self._timing, self._clock, self._watch = timing, clock, watch
        self.spare = 0
        self.retaken: Counter[Hashable] = Counter()
        self.disturbed: Counter[Hashable] = Counter()

    def clean_sample_ns(self, key: Hashable, target: Target, loops: int) -> float:
        """Nanoseconds a call in one sample: the first undisturbed one, or the last if all are."""
        while True:
            self._watch.begin()
            elapsed_ns = self._sample_ns(target, loops)
            if not self._watch.disturbed(elapsed_ns):
                return elapsed_ns / loops
            if self.spare < 1:
                self.disturbed[key] += 1
                return elapsed_ns / loops
            self.spare -= 1
            self.retaken[key] += 1

    def warmed_up_loops(self, target: Target) -> int:
        """Run a target for the warm-up time; how often it has to be repeated for one sample."""
        self._sample_ns(target, 1)  # the first call may allocate and tune, and says nothing about the others
        loops, sample_ns, fastest_ns, begin = 1, self._timing.sample_ms * 1e6, math.inf, self._clock()
        while True:
            elapsed_ns = self._sample_ns(target, loops)
            fastest_ns = min(fastest_ns, max(elapsed_ns, 1) / loops)  # a slow spell must not make the samples short
            if elapsed_ns < sample_ns:
                loops = max(loops + 1, min(loops * 8, math.ceil(sample_ns / fastest_ns)))
            elif self._clock() - begin >= self._timing.warm_up_ms * 1e6:
                return max(1, math.ceil(sample_ns / fastest_ns))

    def _sample_ns(self, target: Target, loops: int) -> float:
        with uncollected():
            if not callable(target):
                return target.sample_ns(loops)
            begin = self._clock()
            for _ in itertools.repeat(None, loops):
                target()
            return self._clock() - begin


def machine_state() -> dict[str, float | None]:
    """What can be read of the machine's state now; None where the system does not tell."""
    stat = _read("/proc/stat").split("\n", 1)[0].split()
    mhz = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    degrees = _read("/sys/class/thermal/thermal_zone0/temp")
    return {
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "steal_ticks": float(stat[8]) if len(stat) > 8 else None,
        "cpu_mhz": float(mhz) / 1e3 if mhz else None,
        "celsius": float(degrees) / 1e3 if degrees else None,
    }


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def conditions_between(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, Any]:
    """Machine state before and after as pairs, stolen time as a difference (1/100 s that the host gave to others)."""
    found: dict[str, Any] = {
        name: [before[name], after[name]] for name in ("load", "cpu_mhz", "celsius") if before[name] is not None
    }
    if before["steal_ticks"] is not None and after["steal_ticks"] is not None:
        found["steal_ticks"] = after["steal_ticks"] - before["steal_ticks"]
    at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"at": at, **found, "python": platform.python_version(), "os": platform.platform()}
