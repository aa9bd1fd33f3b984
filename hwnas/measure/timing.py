"""Timing of callables: the protocol as data, raw samples out. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, Union

import numpy as np

from hwnas.errors import ConfigError
from hwnas.io.quiet import gc_paused
from hwnas.measure.conditions.rounds import BoardWatch, RoundWatch, Unwatched, conditions_between
from hwnas.measure.noise import NoPreemption, PreemptionMonitor, SystemPreemptionMonitor
from hwnas.words import brief

Key = TypeVar("Key", bound=Hashable)
Clock = Callable[[], int]


class NativeTimer(Protocol):
    """A target that takes its own samples, such as an accelerator with events."""

    def sample_ns(self, loops: int) -> float:
        """Return the nanoseconds that `loops` calls took, as the device saw them."""


Target = Union[Callable[[], None], NativeTimer]

LOW = 0.1
"""Quantile over rounds that `low_ms` is: noise only ever adds, and a minimum would hang on a single sample."""
FEWEST_ROUNDS = 3
NOISY_SHARE = 8
"""Number of other samples after which the reference is sampled."""
THROTTLED = "throttled_rounds"
"""The condition that holds how many rounds were kept although the machine was throttled meanwhile."""
COOLER_C = 5.0
"""Degrees Celsius by which a processor has to be cooler than where it paused before measuring goes on, by default."""
REFERENCE_CONDITION = "reference_ns"
"""The condition that holds, for each round, the reference's time in it: what the machine's state was."""


@dataclass(frozen=True)
class Timing:
    """The measuring protocol. In each round every callable of a group gives one sample, in shuffled order, so that a
    slow spell of the machine hits all of them instead of one."""

    warm_up_ms: float = 20.0
    """Time for which each callable runs before its first sample."""
    min_sample_ms: float = 5.0
    """Least duration of a sample: fast callables are repeated within it, and the sample is divided."""
    rounds: int = 60
    """Samples of each callable, over all processes."""
    processes: int = 6
    """Fresh processes among which the rounds are divided, each of which loads the files in another order: where weights
    and buffers come to lie in memory shifts a file's times by a percent or two. 0 measures in the calling process."""
    files_per_session: int = 256
    """Number of files that are interleaved at once, if they fit into a quarter of the memory."""
    max_retries: float = 0.5
    """Samples that were taken while others used the processor, and rounds during which the machine was throttled, are
    taken again, up to this share of all."""
    pin: bool = True
    """True if a process keeps to as many processors as the set-up has threads."""
    seed: int = 0
    max_seconds: float | None = None
    """Seconds of measuring after which no round begins, but there are at least three rounds."""
    process_seconds: float | None = None
    """A measuring process that takes longer is ended; None for no such bound."""
    pause_above_c: float | None = None
    """Temperature in °C above which no round begins until the processor is cooler than `resume_below_c`."""
    resume_below_c: float | None = None
    """5 °C less than `pause_above_c` if left out."""
    pause_seconds: float = 300.0
    """Seconds that a process waits for cooler times, all its rounds together; then it goes on, and its rounds are
    marked."""

    def __post_init__(self) -> None:
        least = {
            "warm_up_ms": 0,
            "min_sample_ms": 0,
            "rounds": FEWEST_ROUNDS,
            "processes": 0,
            "files_per_session": 1,
            "max_retries": 0,
            "max_seconds": 0,
            "process_seconds": 0,
            "pause_above_c": 0,
            "resume_below_c": 0,
            "pause_seconds": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            known = isinstance(value, (int, float)) and math.isfinite(value) and value >= bound
            if value is not None and not known:
                raise ConfigError(
                    f"`{name}: {value}`", where="timing", allowed=f"`{name}` is {bound} or more", do=f"Correct `{name}`"
                )
        if (self.resume_below_c or 0) > (self.pause_above_c or 0):
            raise ConfigError(
                f"`resume_below_c: {self.resume_below_c}` is above `pause_above_c: {self.pause_above_c}`",
                where="timing",
                allowed="The processor cools down before measuring goes on",
                do="Lower `resume_below_c`",
            )

    def watch(self, cpus: Sequence[int] = (), *, gpu: bool = False) -> BoardWatch:
        """Return a watch of this machine's heat, clocks and throttling between rounds.

        Raises:
            ConfigError: `pause_above_c` is given, and no temperature can be read.
        """
        resume_c = self.resume_below_c if self.resume_below_c is not None else (self.pause_above_c or 0) - COOLER_C
        return BoardWatch.here(self.pause_above_c, resume_c, self.pause_seconds, cpus, gpu)


@brief
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
        """Median over rounds."""
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
        """Return the quantile `q` over rounds, interpolated."""
        return float(np.quantile(self.rounds_ns, q)) / 1e6


def measure(
    targets: Mapping[Key, Target],
    timing: Timing,
    on_round: Callable[[int, int], None] | None = None,
    *,
    reference: Target | None = None,
    clock: Clock = time.perf_counter_ns,
    watch: PreemptionMonitor | None = None,
    rounds: RoundWatch | None = None,
) -> dict[Key, Measurement]:
    """Warm up all targets, then sample them in interleaved rounds, in this process.

    All of `targets` are one group; `timing.files_per_session` and `timing.processes` are for the caller, who knows
    what fits into memory together. A sample that the watch calls disturbed is taken again while `timing.max_retries`
    lasts, and so is a round during which the machine was throttled. The reference gives a sample after every few
    others; every measurement tells the median of these in each round. `on_round` is called with (rounds done, rounds
    planned); its own time is not measured.
    """
    real = clock is time.perf_counter_ns
    sampler = _Sampler(timing, clock, watch or (SystemPreemptionMonitor() if real else NoPreemption()))
    about = rounds or (timing.watch() if real else Unwatched())
    loops = {key: sampler.warmed_up_loops(target) for key, target in targets.items()}
    often_called = None if reference is None else (reference, sampler.warmed_up_loops(reference))
    taken = _Rounds([], [])
    order, rng = list(targets), random.Random(timing.seed)
    sampler.spare = int(timing.max_retries * timing.rounds * len(targets))
    before, begin, paused_ns = about.state(), clock(), 0
    while len(taken.samples) < timing.rounds:
        rng.shuffle(order)
        waiting = clock()
        about.begin()
        paused_ns += clock() - waiting
        samples, often = sampler.one_round({key: (targets[key], loops[key]) for key in order}, often_called)
        if not taken.keep(samples, often, about.mhz(), about.end(), spare=timing.max_retries * timing.rounds):
            continue
        if on_round is not None:
            on_round(len(taken.samples), timing.rounds)
        late = timing.max_seconds is not None and clock() - begin - paused_ns > timing.max_seconds * 1e9
        if late and len(taken.samples) >= FEWEST_ROUNDS:
            break
    conditions = {
        **conditions_between(before, about.state()),
        **about.facts(),
        **taken.conditions(told=about.is_reported),
    }
    return {
        key: Measurement(
            tuple(round(samples[key], 1) for samples in taken.samples),
            {**conditions, "loops": loops[key], "retaken": sampler.retaken[key], "disturbed": sampler.disturbed[key]},
        )
        for key in targets
    }


@dataclass
class _Rounds:
    """The rounds that were kept, with what stands beside them."""

    samples: list[dict[Hashable, float]]
    reference_ns: list[float]
    mhz: list[float] = field(default_factory=list)
    throttled: Counter[str] = field(default_factory=Counter)
    """Number of kept rounds that were throttled, by reason."""
    marked: int = 0
    retaken: int = 0

    def keep(
        self, samples: dict[Hashable, float], often: list[float], mhz: float | None, slowed: list[str], spare: float
    ) -> bool:
        """Add a round and return True; one that was slowed down is dropped, up to `spare` times, and False returned."""
        if slowed and self.retaken < int(spare):
            self.retaken += 1
            return False
        self.samples.append(samples)
        self.throttled.update(slowed)
        self.marked += bool(slowed)
        if often:
            self.reference_ns.append(round(statistics.median(often), 1))
        if mhz is not None:
            self.mhz.append(round(mhz, 1))
        return True

    def conditions(self, *, told: bool) -> dict[str, Any]:
        """Return the conditions of the rounds for a measurement; of throttling only where the machine reports it."""
        result: dict[str, Any] = {}
        if told:
            result = {THROTTLED: self.marked, "throttled_retaken": self.retaken}
        if self.throttled:
            result["throttled"] = dict(sorted(self.throttled.items()))
        if self.mhz:
            result["round_mhz"] = self.mhz
        return result | ({REFERENCE_CONDITION: self.reference_ns} if self.reference_ns else {})


class _Sampler:
    """Takes samples, and takes a disturbed one again while there is time to spare."""

    def __init__(self, timing: Timing, clock: Clock, watch: PreemptionMonitor) -> None:
        self._timing, self._clock, self._watch = timing, clock, watch
        self.spare = 0
        self.retaken: Counter[Hashable] = Counter()
        self.disturbed: Counter[Hashable] = Counter()

    def one_round(
        self, targets: Mapping[Key, tuple[Target, int]], reference: tuple[Target, int] | None
    ) -> tuple[dict[Hashable, float], list[float]]:
        """Return a sample of each target, which stand with their loops in the round's order, and those of the
        reference."""
        samples: dict[Hashable, float] = {}
        often: list[float] = []
        for number, (key, (target, loops)) in enumerate(targets.items()):
            if reference is not None and number % NOISY_SHARE == 0:
                often.append(self.clean_sample_ns(REFERENCE_CONDITION, *reference))
            samples[key] = self.clean_sample_ns(key, target, loops)
        return samples, often

    def clean_sample_ns(self, key: Hashable, target: Target, loops: int) -> float:
        """Return nanoseconds per call in one sample: the first undisturbed one, or the last if all are."""
        while True:
            self._watch.begin()
            elapsed_ns = self._sample_ns(target, loops)
            if not self._watch.was_preempted(elapsed_ns):
                return elapsed_ns / loops
            if self.spare < 1:
                self.disturbed[key] += 1
                return elapsed_ns / loops
            self.spare -= 1
            self.retaken[key] += 1

    def warmed_up_loops(self, target: Target) -> int:
        """Run a target for the warm-up time, and return how often it has to be repeated for one sample."""
        self._sample_ns(target, 1)  # the first call may allocate and tune, and says nothing about the others
        loops, sample_ns, fastest_ns, begin = 1, self._timing.min_sample_ms * 1e6, math.inf, self._clock()
        while True:
            elapsed_ns = self._sample_ns(target, loops)
            fastest_ns = min(fastest_ns, max(elapsed_ns, 1) / loops)  # a slow spell must not make the samples short
            if elapsed_ns < sample_ns:
                loops = max(loops + 1, min(loops * 8, math.ceil(sample_ns / fastest_ns)))
            elif self._clock() - begin >= self._timing.warm_up_ms * 1e6:
                return max(1, math.ceil(sample_ns / fastest_ns))

    def _sample_ns(self, target: Target, loops: int) -> float:
        with gc_paused():
            if not callable(target):
                return target.sample_ns(loops)
            begin = self._clock()
            for _ in itertools.repeat(None, loops):
                target()
            return self._clock() - begin
