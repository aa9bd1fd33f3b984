"""Energy of one call: loops long enough for the sensor, idle measured between them and taken off. Board side: Python
3.9 syntax, no torch."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hwnas.errors import ConfigError, SensorError
from hwnas.measure.energy.sensor import Sensor
from hwnas.words import brief

PROBE_S = 3.0
"""Seconds for which a sensor is watched to learn how often its figure is renewed."""
PROBES = 20
"""Number of renewals that are enough."""
LEAST_INTERVALS = 10
"""Least number of renewals that a loop lasts."""
LEAST_S = 0.5
BATCH_S, PAUSE_S = 0.001, 0.1
POLL = 0.005
"""Share of the time for which a sensor has been watched, after which it is read again."""


@dataclass(frozen=True)
class EnergyProtocol:
    """Protocol for measuring energy."""

    sensor: str = "auto"
    """A name of `SENSORS`, or `auto`."""
    command: str = ""
    """Command that prints watts, for the sensor `command`."""
    error: float = 0.05
    """Largest relative error that the sensor may have: slowness, steps and the noise of idling, together."""
    repeats: int = 3
    """Loops of each file, and as many spells of idling."""
    longest_s: float = 30.0
    """A sensor that needs longer loops is refused."""

    def __post_init__(self) -> None:
        if not (0 < self.error < 1 and self.repeats >= 2 and 0 < self.longest_s < math.inf):
            raise ConfigError(
                f"`error: {self.error:g}`, {self.repeats} repeats, `longest_s: {self.longest_s:g}`",
                where="energy",
                allowed="The error lies between 0 and 1, there are two repeats at least, and loops end",
                do="Correct them",
            )


@brief
@dataclass(frozen=True)
class Energy:
    """Millijoules of one call above idling, one number for each loop, and how they were measured."""

    mj: tuple[float, ...]
    conditions: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Sensor, its interval and step, seconds and calls of a loop, idle and active watts, the bound on the error."""

    def __post_init__(self) -> None:
        if not self.mj or not all(math.isfinite(mj) and mj > 0 for mj in self.mj):
            raise ValueError("energies are finite numbers above 0, and there is at least one")

    @property
    def median_mj(self) -> float:
        """Median over loops."""
        return statistics.median(self.mj)

    @property
    def error(self) -> float:
        """Relative error that the sensor may have."""
        return float(self.conditions.get("error", 0.0))


@dataclass(frozen=True)
class Spell:
    """A stretch of time with what it took."""

    joules: float
    seconds: float
    calls: int = 0

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


class Meter:
    """A sensor with a clock; it learns how often the sensor's figure is renewed, and in which steps."""

    def __init__(
        self,
        sensor: Sensor,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look at the sensor for up to `PROBE_S` seconds.

        Raises:
            SensorError: it stands still, or cannot be read.
        """
        self.sensor, self._clock, self._sleep = sensor, clock, sleep
        gaps, steps = self._watched()
        if sensor.tells == "joules" and len(gaps) < 2:
            raise refused(sensor, f"its counter stands still, or is too coarse: {len(steps)} changes in {PROBE_S:g} s")
        self.interval_s = _interval_s(sensor, gaps)
        self.step = sensor.step if sensor.step is not None else min(steps, default=0.0)

    def idle(self, seconds: float) -> Spell:
        """Measure what the machine takes while this process sleeps."""
        pause_s = min(self.interval_s / 2 if self.sensor.tells == "watts" else PAUSE_S, seconds)
        return self._spell(seconds, lambda: self._sleep(pause_s))

    def loop(self, seconds: float, call: Callable[[], object]) -> Spell:
        """Measure what it takes while `call` is called again and again, some calls at a time: reading the clock takes
        energy too."""
        begin = self._clock()
        call()
        at_once = max(1, round(min(BATCH_S, self.interval_s / 4) / max(self._clock() - begin, 1e-7)))

        def batch() -> None:
            for _ in itertools.repeat(None, at_once):
                call()

        spell = self._spell(seconds, batch)
        return replace(spell, calls=spell.calls * at_once)

    def _spell(self, seconds: float, act: Callable[[], object]) -> Spell:
        """Measure a spell: a counter is read at both ends; a power as often as it is renewed, and added up by
        trapezoids."""
        begin = before = self._clock()
        first = power = self.sensor.read()
        joules, calls = 0.0, 0
        while self._clock() - begin < seconds:
            act()
            calls += 1
            if self.sensor.tells == "watts" and self._clock() - before >= self.interval_s:
                watts, now = self.sensor.read(), self._clock()
                joules += (watts + power) / 2 * (now - before)
                self._learn(watts, power)
                before, power = now, watts
        last, end = self.sensor.read(), self._clock()
        if self.sensor.tells == "watts":
            return Spell(joules + (last + power) / 2 * (end - before), end - begin, calls)
        if last <= first:
            raise refused(self.sensor, f"its counter stood still for {end - begin:.1f} s")
        return Spell(last - first, end - begin, calls)

    def _learn(self, watts: float, before: float) -> None:
        """Update the step: the least difference that was seen is the sensor's step, or more."""
        if self.sensor.step is None and watts != before:
            self.step = min(self.step or math.inf, abs(watts - before))

    def _watched(self) -> tuple[list[float], list[float]]:
        """Return seconds between renewals, and by how much the figure changed in each."""
        begin = self._clock()
        figure, changed = self.sensor.read(), math.nan
        gaps: list[float] = []
        steps: list[float] = []
        while self._clock() - begin < PROBE_S and len(gaps) < PROBES:
            self._sleep(max(BATCH_S / 2, POLL * (self._clock() - begin)))
            reading, now = self.sensor.read(), self._clock()
            if reading != figure:
                steps.append(abs(reading - figure))
                if not math.isnan(changed):
                    gaps.append(now - changed)
                figure, changed = reading, now
        return gaps, steps


def _interval_s(sensor: Sensor, gaps: list[float]) -> float:
    """Return how often a figure is renewed. A power may be renewed without a change: what the sensor reports counts,
    else the shortest time between two changes. A counter changes whenever it is renewed."""
    if sensor.tells == "watts":
        return sensor.interval_s or min(gaps, default=PROBE_S)
    return max(statistics.median(gaps), sensor.interval_s or 0.0)


def energy_of(call: Callable[[], object], meter: Meter, protocol: EnergyProtocol) -> Energy:
    """Measure the millijoules of a call above idling.

    Idle and loop take turns. A first pair tells how long they have to be for the error that is allowed.

    Raises:
        SensorError: the sensor cannot carry the figure, and why: too slow, too coarse, or idling is too noisy.
    """
    call()  # the first call may allocate, and says nothing about the others
    seconds = max(LEAST_S, LEAST_INTERVALS * meter.interval_s)
    pairs = [_pair(call, meter, seconds)]
    seconds = max(seconds, _seconds_needed(pairs[0], meter, protocol))
    if seconds > 1.5 * pairs[0][1].seconds:
        pairs.clear()
    while len(pairs) < protocol.repeats:
        pairs.append(_pair(call, meter, seconds))
    return _carried(pairs, meter, protocol)


def _pair(call: Callable[[], object], meter: Meter, seconds: float) -> tuple[Spell, Spell]:
    return meter.idle(seconds), meter.loop(seconds, call)


def _seconds_needed(pair: tuple[Spell, Spell], meter: Meter, protocol: EnergyProtocol) -> float:
    """Return how long a loop has to be: both of its ends may be off by one renewal, and a counter by one step. Half of
    the allowed error is left to the noise of idling, and a third of it to the steps of a power."""
    idle, loop = pair
    more_w = loop.watts - idle.watts
    if more_w <= 0:
        raise refused(
            meter.sensor,
            f"a loop takes {loop.watts:.3g} W and idling {idle.watts:.3g} W: no difference is seen, "
            "the noise of idling is larger, or the sensor stands still",
        )
    if meter.sensor.tells == "watts" and meter.step / 2 / more_w > protocol.error / 3:
        raise refused(meter.sensor, f"too coarse: it tells {more_w:.3g} W above idling in steps of {meter.step:.3g} W")
    slow_j, coarse_j = _ends_j(loop, meter)
    seconds = (slow_j + coarse_j) / more_w / (protocol.error / 2)
    if seconds > protocol.longest_s:
        why = "too slow" if slow_j >= coarse_j else "too coarse"
        raise refused(
            meter.sensor,
            f"{why}: renewed every {meter.interval_s * 1e3:.3g} ms in steps of {meter.step:.3g}, it would need "
            f"loops of {seconds:.0f} s for an error of {protocol.error:.0%}",
        )
    return seconds


def _ends_j(loop: Spell, meter: Meter) -> tuple[float, float]:
    """Return by how many joules the ends of a loop may be off: one renewal, and one step of a counter."""
    return loop.watts * meter.interval_s, meter.step if meter.sensor.tells == "joules" else 0.0


def _carried(pairs: list[tuple[Spell, Spell]], meter: Meter, protocol: EnergyProtocol) -> Energy:
    """Return the energies, if the sensor carries them."""
    idles_w = [idle.watts for idle, _ in pairs]
    idle_w, noise_w = statistics.fmean(idles_w), statistics.stdev(idles_w) / math.sqrt(len(idles_w))
    active_w = statistics.fmean(loop.watts for _, loop in pairs)
    more_w, seconds = active_w - idle_w, statistics.fmean(loop.seconds for _, loop in pairs)
    steps_w = meter.step / 2 if meter.sensor.tells == "watts" else 0.0
    off_w = sum(_ends_j(pairs[0][1], meter)) / seconds + steps_w + 2 * noise_w
    if more_w <= 0 or off_w / more_w > protocol.error:
        what = "the noise of idling is above what is allowed" if 2 * noise_w > off_w / 2 else "too slow or too coarse"
        raise refused(
            meter.sensor,
            f"{what}: {active_w:.3g} W in loops, {idle_w:.3g} W idle with a spread of {noise_w:.2g} W, and an error of "
            f"{off_w:.2g} W is {off_w / more_w if more_w > 0 else math.inf:.0%} of the difference",
        )
    calls = pairs[0][1].calls
    mj = [1e3 * (loop.joules - idle_w * loop.seconds) / loop.calls for _, loop in pairs]
    if min(mj) <= 0:
        raise refused(meter.sensor, "a loop took no more than idling, others did: the noise of idling is too large")
    conditions = {
        "sensor": meter.sensor.name,
        "interval_s": meter.interval_s,
        "step": meter.step,
        "seconds": seconds,
        "calls": calls,
        "idle_w": idle_w,
        "active_w": active_w,
        "idle_noise_w": noise_w,
        "error": off_w / more_w,
    }
    rounded = {name: float(f"{v:.6g}") if isinstance(v, float) else v for name, v in conditions.items()}
    return Energy(tuple(float(f"{value:.7g}") for value in mj), rounded)


def refused(sensor: Sensor, why: str) -> SensorError:
    """Return the error of a sensor that cannot carry a figure."""
    return SensorError(
        f"the sensor {sensor.name} cannot tell the energy ({why})",
        where="energy",
        allowed="Its slowness, its steps and the noise of idling together stay within `energy.error`",
        do="Close other programs, allow a larger `energy.error` or a longer `energy.longest_s`, or use another sensor",
    )
