"""Scenarios of `hwnas verify --scenario` beside MLPerf's own load generator: the same quantiles of the same times."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.verify.scenarios import QUERY_SAMPLES, SCENARIOS, run_scenario

loadgen: Any = pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")

RATE, MS, BATCH = 150.0, 400, 4
PAUSES_S = (0.001, 0.001, 0.003, 0.001, 0.002)


@dataclass(frozen=True)
class Run:
    """What the load generator told, the seconds of each call, when queries arrived and how long each took."""

    summary: dict[str, float]
    calls: list[float]
    arrivals: list[float]
    latencies: list[float]


@pytest.fixture
def generated(tmp_path: Path) -> Callable[[str], Run]:
    """Put pauses of a few ms under load by the load generator."""

    def run(scenario: str) -> Run:
        calls, pauses = list[float](), cycle(PAUSES_S)

        def issue(samples: Any) -> None:
            for _ in range(0, len(samples), BATCH if scenario == "Offline" else len(samples)):
                begin = time.perf_counter()
                time.sleep(next(pauses))
                calls.append(time.perf_counter() - begin)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(one.id, 0, 0) for one in samples])

        settings, output, log = loadgen.TestSettings(), loadgen.LogOutputSettings(), loadgen.LogSettings()
        settings.scenario, settings.mode = getattr(loadgen.TestScenario, scenario), loadgen.TestMode.PerformanceOnly
        settings.min_duration_ms = settings.max_duration_ms = MS
        settings.min_query_count, settings.multi_stream_samples_per_query = 1, QUERY_SAMPLES
        settings.server_target_qps, settings.server_target_latency_ns, settings.offline_expected_qps = RATE, 10**11, 400
        output.outdir, log.log_output, log.enable_trace = str(tmp_path), output, True
        system = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(64, 64, lambda chosen: None, lambda chosen: None)
        loadgen.StartTestWithLogSettings(system, library, settings, log)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
        lines = re.findall(r"^ *(.+?) *: ([\d.]+)$", (tmp_path / "mlperf_log_summary.txt").read_text(), re.MULTILINE)
        trace = (tmp_path / "mlperf_log_trace.json").read_text()
        traced = re.findall(r'"ph":"b".*?"ts":([\d.]+),"args":\{.*?"complete_ns":(\d+)', trace)
        arrivals = [1e-6 * float(at) for at, _ in traced]
        latencies = [1e-9 * int(done) for _, done in traced]
        return Run({name: float(value) for name, value in lines}, calls, arrivals, latencies)

    return run


def assert_quantile(told_ns: float, times: list[float], q: float) -> None:
    """A quantile by its rank is one of the times beside that which is interpolated; some are told a little later."""
    low, high = np.quantile(times, (max(q - 3 / len(times), 0), min(q + 3 / len(times), 1)))
    assert 0.98 * low <= 1e-9 * told_ns <= 1.02 * high + 1e-3


@pytest.mark.parametrize(
    ("theirs", "ours", "q"), [("SingleStream", "single_stream", 0.9), ("MultiStream", "multi_stream", 0.99)]
)
def test_streams_are_judged_by_the_same_quantile(
    theirs: str, ours: str, q: float, generated: Callable[[str], Run]
) -> None:
    run = generated(theirs)
    label = f"{100 * q:.1f}th percentile latency (ns)"
    times = run.latencies[:: QUERY_SAMPLES if ours == "multi_stream" else 1]
    assert_quantile(run.summary[label], times, q)
    assert all(told >= call - 1e-4 for told, call in zip(times, run.calls, strict=False))
    judged = SCENARIOS[ours](ours, run.calls, 1, sum(run.calls))
    assert judged.result == pytest.approx(1e3 * float(np.quantile(run.calls, q)))
    assert run.summary.get("samples_per_query") == (QUERY_SAMPLES if ours == "multi_stream" else 1)


def test_offline_is_samples_a_second(generated: Callable[[str], Run]) -> None:
    run = generated("Offline")
    judged = SCENARIOS["offline"]("offline", run.calls, BATCH, sum(run.calls))
    assert judged.result == pytest.approx(run.summary["Samples per second"], rel=0.1)


def test_a_servers_queries_arrive_by_poisson_and_wait_for_each_other(generated: Callable[[str], Run]) -> None:
    run = generated("Server")
    finished, times = 0.0, list[float]()
    for arrival, seconds in zip(run.arrivals, run.calls, strict=False):
        finished = max(arrival, finished) + seconds
        times.append(finished - arrival)
    assert len(times) > 20
    for q in (0.5, 0.9, 0.99):
        told = run.summary[f"{100 * q:.2f} percentile latency (ns)"]
        assert_quantile(told, run.latencies, q)
    assert all(told >= ours - 1e-3 for told, ours in zip(run.latencies, times, strict=False))
    assert_exponential(np.diff(run.arrivals))
    assert_exponential(np.diff(_arrivals_of_ours(20.0)))


def assert_exponential(gaps: Any) -> None:
    """Mean and spread of the gaps are those of a Poisson process, within four standard errors."""
    slack = 4 / len(gaps) ** 0.5
    assert gaps.mean() * RATE == pytest.approx(1, abs=slack)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=slack)


def _arrivals_of_ours(seconds: float) -> list[float]:
    """When the queries of our server arrive, by a clock that only waits move: calls take no time."""
    now, seen = 0.0, list[float]()

    def sleep(pause: float) -> None:
        nonlocal now
        now += pause

    run_scenario("server", lambda: seen.append(now), 1, seconds=seconds, rate=RATE, clock=lambda: now, sleep=sleep)
    return seen[3:]  # the first calls are no queries
