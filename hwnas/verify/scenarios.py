"""Latency and throughput of a model file under load, by the definitions of MLPerf Inference's scenarios.

Source: V. J. Reddi et al., MLPerf Inference Benchmark, ISCA 2020. The durations here are shorter than its rules ask for
(600 s), so that the numbers are no MLPerf results.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwnas.errors import ConfigError, did_you_mean

QUERY_SAMPLES = 8
"""Samples of a query of `multi_stream`."""
UTILIZATION = 0.5
"""Share of the time that `server` keeps one worker busy, where no rate is given."""
MOST_OVERRUN = 10
"""Times the seconds of load after which `server` is given up on a file that falls ever further behind."""
COLD_SHARE = 0.1
"""Part at either end of a sustained load whose times are compared."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class ScenarioResult:
    """Result of a file under one scenario.

    Args:
        scenario: its name.
        queries: that were answered.
        seconds: that it took.
        result: what the scenario is judged by.
        unit: of the result, `ms` or `samples/s`.
        details: further numbers by name.
    """

    scenario: str
    queries: int
    seconds: float
    result: float
    unit: str
    details: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def run_scenario(
    name: str,
    call: Callable[[], None],
    batch: int,
    *,
    seconds: float = 10.0,
    rate: float | None = None,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> ScenarioResult:
    """Put a model file under load.

    Args:
        name: `single_stream` (90 % quantile of one query after the other), `multi_stream` (99 % quantile of queries of
            eight samples), `server` (99 % quantile of queries that arrive as a Poisson process), `offline` (samples a
            second) or `sustained` (median of the last tenth of the time over that of the first).
        call: runs one batch.
        batch: samples of a call.
        seconds: of load.
        rate: queries a second of `server`; half of what the file answers if left out.
        clock: in seconds.
        sleep: waits for seconds.

    Raises:
        ConfigError: there is no such scenario, a number is none of a load, or the rate is far beyond the file's.
    """
    if name not in SCENARIOS:
        raise ConfigError(
            f"`{name}` is no scenario",
            where="--scenario",
            allowed=did_you_mean(name, SCENARIOS),
            do="Name one of them",
        )
    for option, value in (("--seconds", seconds), ("--rate", rate)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(
                f"{option} is {value}", where="--scenario", allowed="It is above 0 and finite", do=f"Correct {option}"
            )
    for _ in range(3):
        call()
    begin = clock()
    if name == "server":
        times = _server(call, seconds, rate, clock, sleep)
    else:
        calls = math.ceil(QUERY_SAMPLES / batch) if name == "multi_stream" else 1
        times = _one_after_the_other(call, calls, seconds, clock)
    return SCENARIOS[name](name, times, batch, clock() - begin)


def _one_after_the_other(call: Callable[[], None], calls: int, seconds: float, clock: Clock) -> list[float]:
    times, end = list[float](), clock() + seconds
    while not times or clock() < end:
        start = clock()
        for _ in range(calls):
            call()
        times.append(clock() - start)
    return times


def _server(
    call: Callable[[], None],
    seconds: float,
    rate: float | None,
    clock: Clock,
    sleep: Callable[[float], None],
) -> list[float]:
    """Return the times from arrival to answer; queries wait for the one worker in the order in which they come."""
    if rate is None:
        rate = UTILIZATION / float(np.median(_one_after_the_other(call, 1, min(1.0, seconds / 5), clock)))
    rng, arrival, times, begin = random.Random(0), 0.0, list[float](), clock()
    while (arrival := arrival + rng.expovariate(rate)) < seconds or not times:
        if times and clock() - begin > MOST_OVERRUN * seconds:
            raise ConfigError(
                f"{len(times)} queries took {clock() - begin:.3g} s, and {rate:g} a second come",
                where="--rate",
                allowed="The file answers nearly as many as come",
                do="Name a lower --rate, or leave it out for half of what the file answers",
            )
        if (early := begin + arrival - clock()) > 0:
            sleep(early)
        call()
        times.append(clock() - begin - arrival)
    return times


def _quantile(q: float) -> Callable[[str, list[float], int, float], ScenarioResult]:
    def judged(name: str, times: list[float], batch: int, seconds: float) -> ScenarioResult:
        ms = 1e3 * np.array(times)
        details = {f"p{round(100 * one)}_ms": float(np.quantile(ms, one)) for one in (0.5, 0.9, 0.99)}
        details |= {"mean_ms": float(ms.mean()), "queries_per_second": len(times) / seconds}
        return ScenarioResult(name, len(times), seconds, float(np.quantile(ms, q)), "ms", details)

    return judged


def _throughput(name: str, times: list[float], batch: int, seconds: float) -> ScenarioResult:
    return ScenarioResult(
        name, len(times), seconds, batch * len(times) / sum(times), "samples/s", {"batch": float(batch)}
    )


def _sustained(name: str, times: list[float], batch: int, seconds: float) -> ScenarioResult:
    count = max(1, round(COLD_SHARE * len(times)))
    first, last = 1e3 * float(np.median(times[:count])), 1e3 * float(np.median(times[-count:]))
    return ScenarioResult(name, len(times), seconds, last / first, "ratio", {"first_ms": first, "last_ms": last})


SCENARIOS: Mapping[str, Callable[[str, list[float], int, float], ScenarioResult]] = {
    "single_stream": _quantile(0.9),
    "multi_stream": _quantile(0.99),
    "server": _quantile(0.99),
    "offline": _throughput,
    "sustained": _sustained,
}
"""Functions that judge the scenarios' times."""
