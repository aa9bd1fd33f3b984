"""Rules that choose from a crowded front: each takes what it says."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.pareto import Objective
from hwnas.selection import choose

OBJECTIVES = (Objective("top1@x", "max"), Objective("latency_ms@x", "min"))
LATENCIES = np.linspace(1, 10, 40)
FRONT = [{"top1@x": float(1 - 0.5 / ms), "latency_ms@x": float(ms)} for ms in LATENCIES]


def test_all_weight_on_one_objective_takes_its_best() -> None:
    assert choose(FRONT, OBJECTIVES, "weights:top1=1") == choose(FRONT, OBJECTIVES, "best") == [39]
    assert choose(FRONT, OBJECTIVES, "weights:latency_ms=3") == choose(FRONT, OBJECTIVES, "fastest") == [0]


def test_equal_weights_take_the_knee() -> None:
    assert choose(FRONT, OBJECTIVES, "weights:top1=1,latency_ms=1") == choose(FRONT, OBJECTIVES, "knee")


def test_one_objective_after_the_other_gives_up_so_much_and_no_more() -> None:
    (taken,) = choose(FRONT, OBJECTIVES, "lexicographic:top1=0.05,latency_ms")
    best = max(row["top1@x"] for row in FRONT)
    allowed = [i for i, row in enumerate(FRONT) if row["top1@x"] >= best - 0.05]
    assert taken == min(allowed, key=lambda i: FRONT[i]["latency_ms@x"])
    assert choose(FRONT, OBJECTIVES, "lexicographic:latency_ms,top1") == [0]


@pytest.mark.parametrize("count", [1, 2, 5, 40, 90])
def test_clusters_are_represented_by_as_many_rows(count: int) -> None:
    taken = choose(FRONT, OBJECTIVES, f"cluster:{count}")
    assert len(taken) == len(set(taken)) == min(count, len(FRONT))
    assert taken == sorted(taken)


def test_two_clouds_are_represented_by_one_row_each() -> None:
    rows = [FRONT[i] for i in (0, 1, 2, 37, 38, 39)]
    one, other = choose(rows, OBJECTIVES, "cluster:2")
    assert (one < 3, other >= 3) == (True, True)


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ("kne", "`kne` is no rule.*Did you mean `knee`"),
        ("weights", "`weights` is no rule"),
        ("weights:top=1", "`top` is no objective.*Did you mean `top1`"),
        ("weights:top1=much", "`much` is no number"),
        ("weights:top1=-1", "`-1` is no number from 0 on"),
        ("weights:top1=0", "all weights are 0"),
        ("cluster:0", "`cluster:0` is no rule"),
        ("best:1", "`best:1` is no rule"),
    ],
)
def test_a_wrong_rule_is_told(rule: str, met: str) -> None:
    with pytest.raises(ConfigError, match=met):
        choose(FRONT, OBJECTIVES, rule)


def test_an_empty_front_has_nothing_to_choose() -> None:
    assert choose([], OBJECTIVES, "cluster:3") == []
