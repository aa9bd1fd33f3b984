"""Measuring, on a clock that the test turns: no law here depends on the machine's speed."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwnas.errors import ConfigError
from hwnas.measure.drift import drift_factors, reference_ns
from hwnas.measure.noise import SystemPreemptionMonitor
from hwnas.measure.timing import FEWEST_ROUNDS, NOISY_SHARE, REFERENCE_CONDITION, Measurement, Timing, measure
from tests.helpers.measuring import Clock


def test_a_steady_callable_is_timed_exactly() -> None:
    clock = Clock()
    costs = {"fast": 130, "slow": 3_700_000}
    invokes = {name: clock.worker(name, lambda now, cost=cost: cost) for name, cost in costs.items()}  # type: ignore[misc]
    found = measure(invokes, Timing(rounds=5), clock=clock)
    assert {name: set(m.rounds_ns) for name, m in found.items()} == {name: {cost} for name, cost in costs.items()}
    assert all(len(m.rounds_ns) == 5 for m in found.values())


@pytest.mark.parametrize("cost_ns", [1, 999, 1_000_000, 50_000_000])
def test_no_sample_is_shorter_than_asked(cost_ns: int) -> None:
    clock = Clock()
    timing = Timing(warm_up_ms=0, min_sample_ms=2, rounds=3)
    loops = measure({0: clock.worker("", lambda now: cost_ns)}, timing, clock=clock)[0].conditions["loops"]
    assert loops * cost_ns >= 2e6
    assert loops == 1 or (loops - 1) * cost_ns < 2e6


def test_a_slow_spell_in_the_warm_up_does_not_shorten_the_samples() -> None:
    clock = Clock()
    stumbles = clock.worker("", lambda now: 90_000 if now > 15e6 and now < 25e6 else 10_000)
    loops = measure({0: stumbles}, Timing(warm_up_ms=20, min_sample_ms=2, rounds=3), clock=clock)[0].conditions["loops"]
    assert loops * 10_000 >= 2e6


def test_the_warm_up_is_over_before_the_first_sample() -> None:
    clock = Clock()
    cools_down = clock.worker("", lambda now: 10_000 if now > 15e6 else 70_000)
    found = measure({0: cools_down}, Timing(warm_up_ms=20, rounds=4), clock=clock)
    assert set(found[0].rounds_ns) == {10_000}


def test_each_round_holds_every_callable_once_in_an_order_that_changes() -> None:
    def orders(seed: int) -> list[tuple[str, ...]]:
        clock, cuts = Clock(), list[int]()
        invokes = {name: clock.worker(name, lambda now: 6_000_000) for name in "abcde"}  # one call is one sample
        measure(
            invokes, Timing(warm_up_ms=0, rounds=6, seed=seed), lambda *_: cuts.append(len(clock.calls)), clock=clock
        )
        return [tuple(clock.calls[cut - 5 : cut]) for cut in cuts]

    assert all(sorted(order) == list("abcde") for order in orders(0))
    assert len(set(orders(0))) > 1
    assert orders(0) == orders(0) != orders(1)


def test_a_slow_spell_hits_all_callables_alike() -> None:
    clock = Clock()

    def cost_ns(now: int) -> int:
        return 30_000 if (now // 40_000_000) % 3 == 1 else 10_000

    found = measure({n: clock.worker(n, cost_ns) for n in "abc"}, Timing(rounds=60), clock=clock)
    assert [m.low_ms for m in found.values()] == pytest.approx([0.01] * 3)
    means = [sum(m.rounds_ns) / 60 for m in found.values()]
    assert max(means) / min(means) < 1.2


def test_garbage_is_not_collected_within_a_sample_and_again_afterwards() -> None:
    clock, seen = Clock(), set[bool]()
    spend = clock.worker("", lambda now: 5_000_000)

    def work() -> None:
        seen.add(gc.isenabled())
        if len(clock.calls) > 4:
            raise RuntimeError("stop")
        spend()

    with pytest.raises(RuntimeError, match="stop"):
        measure({0: work}, Timing(warm_up_ms=0), clock=clock)
    assert False in seen
    assert gc.isenabled()


def test_a_bound_on_seconds_ends_after_the_round_in_hand() -> None:
    clock, told = Clock(), list[tuple[int, int]]()
    second = clock.worker("", lambda now: 1_000_000_000)
    timing = Timing(warm_up_ms=0, rounds=50, max_seconds=4.5)
    assert len(measure({0: second}, timing, lambda *at: told.append(at), clock=clock)[0].rounds_ns) == 5
    assert told == [(done, 50) for done in range(1, 6)]
    hasty = Timing(warm_up_ms=0, rounds=50, max_seconds=0)
    assert len(measure({0: second}, hasty, clock=clock)[0].rounds_ns) == FEWEST_ROUNDS


def test_conditions_can_be_stored() -> None:
    clock = Clock()
    watch = Timing().watch()
    found = measure({0: clock.worker("", lambda now: 10_000)}, Timing(rounds=3), clock=clock, rounds=watch)[
        0
    ].conditions
    assert {"at", "machine", "load", "python", "os", "loops"} <= json.loads(json.dumps(found)).keys()


def test_statistics_are_those_of_the_rounds() -> None:
    found = Measurement(tuple(float(ns) for ns in range(0, 101_000_000, 1_000_000))[1:])  # 1 .. 100 ms
    assert found.median_ms == pytest.approx(50.5)
    assert found.low_ms == pytest.approx(10.9)
    assert found.p90_ms == pytest.approx(90.1)
    assert found.p99_ms == pytest.approx(99.01)
    assert found.spread == pytest.approx(49.5 / 50.5)
    assert Measurement((1.0, 2.0, 3.0)).spread is None


@pytest.mark.parametrize("samples", [(), (0.0,), (1.0, -1.0), (math.nan,), (math.inf, 1.0)])
def test_what_is_no_duration_is_no_sample(samples: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Measurement(samples)


@pytest.mark.parametrize(
    "name", ["warm_up_ms", "min_sample_ms", "rounds", "processes", "files_per_session", "max_retries", "max_seconds"]
)
@pytest.mark.parametrize("value", [-1, math.nan])
def test_a_protocol_that_measures_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Timing(**{name: value})  # type: ignore[arg-type]


@dataclass
class Watching:
    """Calls a sample disturbed when a list says so."""

    verdicts: list[bool]
    asked: int = 0

    def begin(self) -> None:
        pass

    def was_preempted(self, elapsed_ns: float) -> bool:
        self.asked += 1
        return self.verdicts.pop(0) if self.verdicts else False


def test_a_disturbed_sample_is_dropped_and_taken_again() -> None:
    clock, calls = Clock(), list[int]()
    watch = Watching([False, True, True, False])

    def cost_ns(now: int) -> int:
        calls.append(now)
        return 50_000_000 if watch.asked in (1, 2) else 6_000_000  # the disturbed ones are slow

    timing = Timing(warm_up_ms=0, rounds=4, max_retries=1.0)
    found = measure({0: clock.worker("", cost_ns)}, timing, clock=clock, watch=watch)[0]
    assert found.rounds_ns == (6e6,) * 4
    assert (found.conditions["retaken"], found.conditions["disturbed"]) == (2, 0)


def test_retakes_are_bounded_and_what_is_kept_disturbed_is_told() -> None:
    clock = Clock()
    timing = Timing(warm_up_ms=0, rounds=4, max_retries=0.5)
    watch = Watching([True] * 100)
    found = measure({0: clock.worker("", lambda now: 6_000_000)}, timing, clock=clock, watch=watch)[0]
    assert len(found.rounds_ns) == 4
    assert (found.conditions["retaken"], found.conditions["disturbed"]) == (2, 4)


def test_what_takes_its_own_samples_is_asked_for_them() -> None:
    @dataclass
    class Accelerator:
        asked: list[int] = field(default_factory=list)

        def sample_ns(self, loops: int) -> float:
            self.asked.append(loops)
            return 40_000.0 * loops

    device = Accelerator()
    found = measure({0: device}, Timing(warm_up_ms=0, min_sample_ms=2, rounds=3), clock=Clock())[0]
    assert set(found.rounds_ns) == {40_000.0}
    assert device.asked[-3:] == [50, 50, 50]


def drifting(speeds: list[float]) -> tuple[Clock, Callable[[float], Callable[[], None]]]:
    """A clock, and callables whose cost follows the machine's speed, which changes every two seconds."""
    clock = Clock()

    def worker(cost_ns: float) -> Callable[[], None]:
        return clock.worker("", lambda now: int(cost_ns * speeds[int(now / 2e9) % len(speeds)]))

    return clock, worker


def test_the_reference_takes_drift_out_of_a_sitting_and_between_sittings() -> None:
    taken = {}
    for name, speeds in (("steady", [1.0]), ("wandering", [1.0, 1.3, 0.9]), ("slow", [1.25, 1.2])):
        clock, worker = drifting(speeds)
        found = measure(
            {n: worker(1e6 * (n + 1)) for n in range(20)}, Timing(warm_up_ms=0, rounds=60), reference=worker(5e5),
            clock=clock,
        )  # fmt: skip
        taken[name] = list(found.values())
        assert all(len(m.conditions[REFERENCE_CONDITION]) == 60 for m in found.values())
    usual = reference_ns(taken["steady"])
    assert usual == pytest.approx(5e5, rel=1e-3)
    for measurements in taken.values():
        corrected = [m.low_ms * f for m, f in zip(measurements, drift_factors(measurements, usual), strict=True)]
        assert corrected == pytest.approx([n + 1.0 for n in range(20)], rel=0.02)


def test_what_follows_the_reference_by_half_is_corrected_by_half() -> None:
    rng = np.random.default_rng(0)
    early, late = (np.exp(rng.normal(level, 0.04, 60)) for level in (0.0, 0.1))

    def timed(reference: NDArray[np.float64], power: float) -> Measurement:
        samples = 1e6 * reference**power * np.exp(rng.normal(0, 0.01, 60))
        return Measurement(tuple(samples), {REFERENCE_CONDITION: (1e5 * reference).tolist()})

    for power in (0.0, 0.5, 1.0):
        one, other = timed(early, power), timed(late, power)
        usual = reference_ns([one])
        times = [m.low_ms * f for m, f in zip((one, other), drift_factors([one, other], usual), strict=True)]
        assert times[1] == pytest.approx(times[0], rel=0.015), power


def test_without_a_reference_nothing_is_corrected() -> None:
    plain = [Measurement((1e6, 2e6, 3e6)), Measurement((5e6,), {REFERENCE_CONDITION: []})]
    assert reference_ns(plain) is None
    assert drift_factors(plain) == [1.0, 1.0]


def test_the_reference_is_sampled_between_the_others() -> None:
    clock = Clock()
    invokes = {n: clock.worker("other", lambda now: 6_000_000) for n in range(2 * NOISY_SHARE)}
    measure(
        invokes, Timing(warm_up_ms=0, rounds=3), reference=clock.worker("reference", lambda now: 6_000_000), clock=clock
    )
    first_round = clock.calls[-3 * (2 * NOISY_SHARE + 2) :][: 2 * NOISY_SHARE + 2]
    assert [place for place, name in enumerate(first_round) if name == "reference"] == [0, NOISY_SHARE + 1]


def test_the_system_is_asked_about_stolen_time_of_ones_own_processors_and_the_queue(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()

    def system(stolen_0: int, stolen_1: int, queued_ns: int) -> None:
        rows = (f"cpu{n} 1 2 3 4 5 6 7 {ticks} 0 0\n" for n, ticks in enumerate((stolen_0, stolen_1)))
        (tmp_path / "stat").write_text("cpu  9 9 9 9 9 9 9 99 0 0\n" + "".join(rows) + "intr 1\n")
        (tmp_path / "self" / "schedstat").write_text(f"123 {queued_ns} 7\n")

    system(5, 5, 100)
    watch = SystemPreemptionMonitor([1], proc=str(tmp_path))
    watch._readers = watch._readers[-1:]  # this test's own context switches are beside the point
    for after, disturbed in (
        ((6, 5, 100), False),
        ((5, 6, 100), True),
        ((5, 5, 2_000_000), True),
        ((5, 5, 900), False),
    ):
        system(5, 5, 100)
        watch.begin()
        system(*after)
        assert watch.was_preempted(50e6) is disturbed, after


def test_a_system_that_tells_nothing_disturbs_nothing(tmp_path: Path) -> None:
    watch = SystemPreemptionMonitor([0], proc=str(tmp_path))
    watch._readers = watch._readers[-1:]
    watch.begin()
    assert watch.was_preempted(1.0) is False


@pytest.mark.parametrize("value", [[{}], "long", {"a": 1}, float("nan"), -1])
def test_a_protocol_of_other_kinds_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_seconds"):
        Timing(max_seconds=value)
