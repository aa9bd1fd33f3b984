"""Measuring, on a clock that the test turns: no law here depends on the machine's speed."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hwnas.errors import ConfigError
from hwnas.latency.measure import FEWEST_ROUNDS, Measurement, Timing, measure


@dataclass
class Clock:
    """Stands still but for `spend`; notes who spent."""

    now_ns: int = 0
    calls: list[str] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now_ns

    def worker(self, name: str, cost_ns: Callable[[int], int]) -> Callable[[], None]:
        """A callable that takes `cost_ns(now)`."""

        def work() -> None:
            self.calls.append(name)
            self.now_ns += cost_ns(self.now_ns)

        return work


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
    timing = Timing(warm_up_ms=0, sample_ms=2, rounds=3)
    loops = measure({0: clock.worker("", lambda now: cost_ns)}, timing, clock=clock)[0].conditions["loops"]
    assert loops * cost_ns >= 2e6
    assert loops == 1 or (loops - 1) * cost_ns < 2e6


def test_a_slow_spell_in_the_warm_up_does_not_shorten_the_samples() -> None:
    clock = Clock()
    stumbles = clock.worker("", lambda now: 90_000 if now > 15e6 and now < 25e6 else 10_000)
    loops = measure({0: stumbles}, Timing(warm_up_ms=20, sample_ms=2, rounds=3), clock=clock)[0].conditions["loops"]
    assert loops * 10_000 >= 2e6


def test_the_warm_up_is_over_before_the_first_sample() -> None:
    clock = Clock()
    cools_down = clock.worker("", lambda now: 10_000 if now > 15e6 else 70_000)
    found = measure({0: cools_down}, Timing(warm_up_ms=20, rounds=4), clock=clock)
    assert set(found[0].rounds_ns) == {10_000}


def test_each_round_holds_every_callable_once_in_an_order_that_changes() -> None:
    def orders(seed: int) -> list[tuple[str, ...]]:
        clock, cuts = Clock(), list[int]()
        invokes = {name: clock.worker(name, lambda now: 3_000_000) for name in "abcde"}  # one call is one sample
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
    found = measure({0: clock.worker("", lambda now: 10_000)}, Timing(rounds=3), clock=clock)[0].conditions
    assert {"at", "load", "python", "os", "loops"} <= json.loads(json.dumps(found)).keys()


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


@pytest.mark.parametrize("name", ["warm_up_ms", "sample_ms", "rounds", "group", "max_seconds"])
@pytest.mark.parametrize("value", [-1, math.nan])
def test_a_protocol_that_measures_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Timing(**{name: value})  # type: ignore[arg-type]
