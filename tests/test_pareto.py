"""Laws of fronts, hypervolume, picks and limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.pareto import (
    Limit,
    Objective,
    Scores,
    Tier,
    best,
    front,
    hypervolume,
    knee,
    picks,
    reference_point,
)

ACCURACY, LATENCY, SIZE = Objective("top1@x", "max"), Objective("latency_ms@x", "min"), Objective("params@x", "min")
BOTH = (ACCURACY, LATENCY)

values = st.integers(0, 9).map(float)  # few values, so that rows tie


def rows_of(objectives: tuple[Objective, ...]) -> st.SearchStrategy[list[Scores]]:
    return st.lists(st.fixed_dictionaries({o.metric: values for o in objectives}), min_size=1, max_size=25)


def beats(a: Scores, b: Scores, objectives: tuple[Objective, ...]) -> bool:
    costs = [(o.cost(a[o.metric]), o.cost(b[o.metric])) for o in objectives]
    return all(x <= y for x, y in costs) and any(x < y for x, y in costs)


@pytest.mark.parametrize("objectives", [(ACCURACY,), BOTH, (ACCURACY, LATENCY, SIZE)], ids=len)
def test_the_front_is_what_no_row_beats(objectives: tuple[Objective, ...]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rows_of(objectives))
    def law(rows: list[Scores]) -> None:
        unbeaten = [i for i, row in enumerate(rows) if not any(beats(other, row, objectives) for other in rows)]
        assert front(rows, objectives) == unbeaten

    law()


@settings(max_examples=60, deadline=None)
@given(rows_of(BOTH))
def test_hypervolume_of_two_objectives_is_the_area_of_the_staircase(rows: list[Scores]) -> None:
    reference = {"top1@x": -1.0, "latency_ms@x": 10.0}
    area, best = 0.0, -1.0
    for row in sorted(rows, key=lambda row: (row["latency_ms@x"], -row["top1@x"])):
        area += max(0.0, row["top1@x"] - best) * (10.0 - row["latency_ms@x"])
        best = max(best, row["top1@x"])
    assert hypervolume(rows, BOTH, reference) == pytest.approx(area)


@settings(max_examples=60, deadline=None)
@given(rows_of(BOTH), rows_of(BOTH))
def test_more_rows_never_take_volume_away(rows: list[Scores], more: list[Scores]) -> None:
    reference = reference_point(rows + more, BOTH)
    assert hypervolume(rows + more, BOTH, reference) >= hypervolume(rows, BOTH, reference) - 1e-9
    assert hypervolume(rows + more, BOTH, reference) > 0


def test_rows_beyond_the_reference_add_nothing() -> None:
    reference = {"top1@x": 50.0, "latency_ms@x": 10.0}
    assert hypervolume([], BOTH, reference) == 0
    assert hypervolume([{"top1@x": 90.0, "latency_ms@x": 11.0}], BOTH, reference) == 0
    assert hypervolume([{"top1@x": 90.0, "latency_ms@x": 4.0}], BOTH, reference) == pytest.approx(40 * 6)


@settings(max_examples=60, deadline=None)
@given(rows_of(BOTH))
def test_picks_stand_on_the_front_and_are_its_extremes(rows: list[Scores]) -> None:
    found, on_front = picks(rows, BOTH), front(rows, BOTH)
    assert {found["fastest"], found["best"]} <= set(on_front)
    assert rows[found["fastest"]]["latency_ms@x"] == min(row["latency_ms@x"] for row in rows)
    assert rows[found["best"]]["top1@x"] == max(row["top1@x"] for row in rows)
    assert knee([rows[i] for i in on_front], BOTH) in range(len(on_front))


def test_the_knee_is_the_corner_of_a_bent_front() -> None:
    bent = [{"top1@x": a, "latency_ms@x": b} for a, b in [(50.0, 1.0), (89.0, 2.0), (90.0, 10.0)]]
    assert knee(bent, BOTH) == 1


def test_the_knee_of_a_straight_front_is_its_middle() -> None:
    straight = [{"top1@x": 10.0 * i, "latency_ms@x": float(i)} for i in range(5)]
    assert knee(straight, BOTH) == 2


def test_a_limit_holds_up_to_its_bound() -> None:
    most, least = Limit("latency_ms@x", 10.0), Limit("top1@x", 60.0, "least")
    assert most.excess(10.0) == 0
    assert most.excess(12.5) == 2.5
    assert least.excess(59.0) == 1
    tier = Tier("edge", BOTH, (most, least))
    assert tier.broken({"latency_ms@x": 10.0, "top1@x": 60.0}) == ()
    assert tier.broken({"latency_ms@x": 11.0, "top1@x": 1.0}) == ("latency_ms@x <= 10", "top1@x >= 60")
    assert tier.broken({"latency_ms@x": 11.0}) == ("latency_ms@x <= 10",)


def test_what_is_no_number_is_refused() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite"):
            front([{"top1@x": bad, "latency_ms@x": 1.0}], BOTH)


@pytest.mark.parametrize("objectives", [(ACCURACY,), BOTH, (ACCURACY, LATENCY, SIZE)], ids=len)
def test_no_row_that_is_left_out_beats_one_that_is_taken(objectives: tuple[Objective, ...]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(rows_of(objectives), st.integers(1, 25))
    def law(rows: list[Scores], count: int) -> None:
        taken = best(rows, objectives, count)
        assert len(set(taken)) == len(taken) == min(count, len(rows))
        left = set(range(len(rows))) - set(taken)
        assert not any(beats(rows[a], rows[b], objectives) for a in left for b in taken)

    law()


def test_of_a_rank_the_ends_and_the_least_crowded_are_taken_first() -> None:
    rows = [{ACCURACY.metric: x, LATENCY.metric: x} for x in (0.0, 0.5, 1.0, 6.0, 10.0)]
    assert set(best(rows, BOTH, 2)) == {0, 4}
    assert set(best(rows, BOTH, 3)) == {0, 3, 4}


def test_equal_rows_are_taken_after_all_others_of_their_rank() -> None:
    rows = [{ACCURACY.metric: x, LATENCY.metric: x} for x in (0.0, 0.0, 5.0, 10.0, 10.0)]
    assert set(best(rows, BOTH, 3)) == {0, 2, 3}
    assert best([], BOTH, 3) == []
