"""Laws of fronts of evaluations and of the files they are kept in."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.errors import RunError
from hwnas.pareto import Limit, Objective, Tier, front, hypervolume
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import (
    Archive,
    hypervolume_history,
    read_front,
    rerank_measured,
    tier_front,
    write_front,
)
from hwnas.space import Architecture

TOP1, LATENCY = "top1@inherited", "latency_ms@pi4"
TIER = Tier("edge", (Objective(TOP1, "max"), Objective(LATENCY, "min")), (Limit(LATENCY, 15.0),))
ORIGIN = {TOP1: "inherited", LATENCY: "predicted"}


def evaluation(index: int, top1: float, latency_ms: float, failed: str | None = None) -> Evaluation:
    scores = {LATENCY: latency_ms, TOP1: top1}
    return Evaluation(Architecture("s", (("i", index),)), scores, TIER.broken(scores), failed=failed)


def some(count: int, seed: int) -> list[Evaluation]:
    rng = random.Random(seed)
    return [
        evaluation(i, float(rng.randint(0, 30)), float(rng.randint(1, 20)), "boom" if rng.random() < 0.1 else None)
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_front_that_grew_is_the_front_of_all(seed: int) -> None:
    evaluations = some(150, seed)
    archive = Archive(TIER)
    for each in evaluations:
        archive.add(each)
    fit = [e for e in evaluations if e.failed is None and e.scores[LATENCY] <= 15]
    whole = [fit[i].architecture.key for i in front([e.scores for e in fit], TIER.objectives)]
    assert sorted(e.architecture.key for e in archive.front) == sorted(whole)
    assert sorted(p.architecture.key for p in tier_front(evaluations, TIER)) == sorted(whole)


def test_the_history_is_the_hypervolume_after_each_evaluation() -> None:
    evaluations, reference = some(60, 0), {TOP1: 0.0, LATENCY: 20.0}
    fit = [[e.scores for e in evaluations[: n + 1] if e.competes(TIER)] for n in range(60)]
    slow = [hypervolume(rows, TIER.objectives, reference) for rows in fit]
    assert hypervolume_history(evaluations, TIER, reference) == pytest.approx(slow)


def test_what_failed_or_breaks_a_limit_is_on_no_front() -> None:
    rows = [
        evaluation(0, 99, 16),
        evaluation(1, 99, 5, failed="boom"),
        Evaluation(Architecture("s", ()), {LATENCY: 1.0}),
    ]
    assert tier_front(rows, TIER) == []
    assert len(tier_front([*rows, evaluation(2, 10, 10)], TIER)) == 1


def test_a_front_is_by_latency_and_has_its_picks_marked() -> None:
    points = tier_front([evaluation(0, 90, 10), evaluation(1, 50, 1), evaluation(2, 85, 2), evaluation(3, 80, 9)], TIER)
    assert [p.scores[LATENCY] for p in points] == [1, 2, 10]
    assert [p.picks for p in points] == [("fastest",), ("knee",), ("best",)]


def test_what_was_measured_ranks_the_front_again() -> None:
    points = tier_front([evaluation(0, 50, 1), evaluation(1, 85, 2), evaluation(2, 86, 3), evaluation(3, 90, 10)], TIER)
    slow = {points[1].architecture.key: 4.0, points[2].architecture.key: 3.5, points[3].architecture.key: 16.0}
    again = rerank_measured(points, TIER, {key: {LATENCY: ms} for key, ms in slow.items()})
    assert [p.kept for p in again] == [True, False, True, False], "beaten by the third; over the limit"
    assert [p.scores for p in again] == [p.scores for p in points], "what was predicted stays beside it"
    assert [p.final[LATENCY] for p in again] == [1, 4, 3.5, 16]
    assert {name for p in again if p.kept for name in p.picks} == {"fastest", "best", "knee"}
    assert not any(p.picks for p in again if not p.kept)


@pytest.mark.parametrize("measured", [False, True])
def test_a_front_is_read_back_as_it_was_written(tmp_path: Path, measured: bool) -> None:
    points = [replace(point, errors={TOP1: 0.005}) for point in tier_front(some(80, 1), TIER, ORIGIN)]
    if measured:
        points = rerank_measured(points, TIER, {p.architecture.key: {LATENCY: p.scores[LATENCY] + 1} for p in points})
    write_front(tmp_path / "fronts" / "edge.json", tmp_path / "fronts" / "edge.csv", points)
    assert read_front(tmp_path / "fronts" / "edge.json") == points
    raw = json.loads((tmp_path / "fronts" / "edge.json").read_text())
    assert {"key", "architecture", "scores", "origin", "picks"} <= set(raw[0])
    with (tmp_path / "fronts" / "edge.csv").open() as file:
        flat = list(csv.DictReader(file))
    assert [row["key"] for row in flat] == [p.architecture.key for p in points]
    assert [float(row[TOP1]) for row in flat] == [p.scores[TOP1] for p in points]
    assert sorted(p.name for p in (tmp_path / "fronts").iterdir()) == ["edge.csv", "edge.json"], "nothing left over"


def test_an_empty_front_can_be_written(tmp_path: Path) -> None:
    write_front(tmp_path / "edge.json", tmp_path / "edge.csv", [])
    assert read_front(tmp_path / "edge.json") == []


@pytest.mark.parametrize("text", ["", "{}{", '[{"key": "x"}]', "[1]"])
def test_a_damaged_front_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edge.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"edge\.json"):
        read_front(path)
