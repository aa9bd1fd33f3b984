"""Laws of successive halving on several objectives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, TrainingError
from hwnas.pareto import Limit, Objective, Scores, Tier, front
from hwnas.search.score_store import ScoreStore
from hwnas.search.successive_halving import Rung, RungResult, sample_initial, successive_halving, tier_for_rung
from hwnas.space import Architecture, parse_space

RAW = {
    "name": "small",
    "input": {"channels": 1, "resolution": 8},
    "classes": 2,
    "stages": [
        {"name": "s1", "op": "conv", "depth": [1, 2, 3], "width": [4, 6, 8], "kernel": [1, 3, 5]},
        {"name": "head", "op": "classifier"},
    ],
}
SPACE = parse_space(RAW, where="small.yaml")
TOP1, LATENCY = "top1@inherited", "latency_ms@pi4"
TIER = Tier("edge", (Objective(TOP1, "max"), Objective(LATENCY, "min")), (Limit(LATENCY, 0.9),))


def noise(architecture: Architecture, salt: str) -> float:
    return random.Random(f"{architecture.key} {salt}").random()


def latency(architecture: Architecture) -> float:
    return round(noise(architecture, "latency"), 2)


def accuracy(architecture: Architecture) -> float:
    return round(0.5 * latency(architecture) + 0.5 * noise(architecture, "accuracy"), 2)


def rungs(*scored: tuple[str, int, Callable[[Architecture], float]]) -> list[Rung]:
    return [
        Rung(Objective(metric, "max"), networks, scorer, f"producer of {metric}") for metric, networks, scorer in scored
    ]


def population(count: int = 60) -> list[Architecture]:
    return sample_initial(SPACE, count, 0, lambda a: latency(a) <= 0.9)


def halved(path: Path, steps: list[Rung], **changed: Callable[[Architecture], float]) -> list[RungResult]:
    cheap: Mapping[str, Callable[[Architecture], float]] = {LATENCY: changed.get("latency", latency)}
    return successive_halving(population(), steps, TIER, cheap, ScoreStore.open(path / "scores.jsonl"))


def rows(architectures: list[Architecture]) -> list[Scores]:
    return [{TOP1: accuracy(a), LATENCY: latency(a)} for a in architectures]


def test_with_a_perfect_cheap_score_the_true_front_comes_out(tmp_path: Path) -> None:
    everything = population()
    true = {everything[index] for index in front(rows(everything), TIER.objectives)}
    steps = rungs(("score@perfect", 60, lambda a: 100 * accuracy(a) - 3), (TOP1, len(true) + 2, accuracy))
    last = halved(tmp_path, steps)[-1]
    found = [evaluation.architecture for evaluation in last.evaluations]
    assert true == {found[index] for index in front(rows(found), TIER.objectives)}


def test_no_network_left_behind_beats_a_promoted_one(tmp_path: Path) -> None:
    first, second = halved(tmp_path, rungs(("score@noisy", 60, lambda a: noise(a, "x")), (TOP1, 12, accuracy)))
    scores = {e.architecture: e.scores for e in first.evaluations}
    assert len(first.promoted) == len(second.evaluations) == 12
    for behind in set(scores) - set(first.promoted):
        for taken in first.promoted:
            better = scores[behind]["score@noisy"] >= scores[taken]["score@noisy"]
            faster = scores[behind][LATENCY] <= scores[taken][LATENCY]
            equal = all(scores[behind][m] == scores[taken][m] for m in ("score@noisy", LATENCY))
            assert equal or not (better and faster)


def test_each_rung_scores_so_many_networks_and_each_only_once(tmp_path: Path) -> None:
    called: list[Architecture] = []

    def dear(architecture: Architecture) -> float:
        called.append(architecture)
        return accuracy(architecture)

    results = halved(tmp_path, rungs(("score@a", 60, accuracy), ("score@b", 20, accuracy), (TOP1, 5, dear)))
    assert [len(rung.evaluations) for rung in results] == [60, 20, 5]
    assert len(set(called)) == len(called) == 5


def test_interrupted_at_any_score_and_continued_it_ends_the_same(tmp_path: Path) -> None:
    def steps(left: int) -> list[Rung]:
        def dying(architecture: Architecture) -> float:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return accuracy(architecture)

        return rungs(("score@a", 60, dying), (TOP1, 9, dying))

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = halved(tmp_path / "whole", steps(10**6))
    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            halved(tmp_path / "cut", steps(11))
    continued = halved(tmp_path / "cut", steps(11))
    assert [(r.promoted, [e.scores for e in r.evaluations]) for r in continued] == [
        (r.promoted, [e.scores for e in r.evaluations]) for r in whole
    ]


def test_a_network_that_fails_is_recorded_with_its_reason_and_not_promoted(tmp_path: Path) -> None:
    bad = population()[0]

    def failing(architecture: Architecture) -> float:
        if architecture == bad:
            raise TrainingError("it diverged", where="here", allowed="finite losses", do="lower the rate")
        return accuracy(architecture)

    first, second = halved(tmp_path, rungs((TOP1, 60, failing), ("top1@short", 30, accuracy)))
    assert first.failed == 1
    assert bad not in {e.architecture for e in second.evaluations}
    kept = ScoreStore.open(tmp_path / "scores.jsonl").get(bad, TOP1, f"producer of {TOP1}")
    assert kept is not None
    assert kept.failed is not None
    assert "it diverged" in kept.failed


def test_a_network_over_a_limit_is_neither_scored_dearly_nor_promoted(tmp_path: Path) -> None:
    scored: list[Architecture] = []

    def dear(architecture: Architecture) -> float:
        scored.append(architecture)
        return accuracy(architecture)

    over = set(population()[:20])
    first, second = halved(
        tmp_path, rungs((TOP1, 60, dear), ("top1@short", 60, dear)), latency=lambda a: 2.0 if a in over else latency(a)
    )
    assert not over & set(scored)
    assert not over & set(first.promoted)
    assert len(second.evaluations) == 40


def test_a_limit_on_accuracy_holds_where_the_score_is_an_accuracy() -> None:
    limited = Tier("edge", TIER.objectives, (Limit(TOP1, 0.8, "least"), Limit(LATENCY, 9)))
    assert tier_for_rung(limited, Objective("score@naswot", "max")).limits == (Limit(LATENCY, 9),)
    assert tier_for_rung(limited, Objective("top1@short", "max")).limits == (
        Limit("top1@short", 0.8, "least"),
        Limit(LATENCY, 9),
    )


def test_a_population_holds_what_fits_each_once_and_what_is_given_first() -> None:
    given = SPACE.largest()
    drawn = sample_initial(SPACE, 30, 5, lambda a: latency(a) < 0.5 or a == given, first=[given, given])
    assert drawn[0] == given
    assert len(set(drawn)) == len(drawn) == 30
    assert all(latency(a) < 0.5 for a in drawn[1:])
    assert drawn == sample_initial(SPACE, 30, 5, lambda a: latency(a) < 0.5 or a == given, first=[given])


def test_a_space_that_is_used_up_ends_the_drawing() -> None:
    stages = [{"name": "s1", "op": "conv", "width": [4, 6]}, {"name": "head", "op": "classifier"}]
    space = parse_space({**RAW, "stages": stages}, where="small.yaml")
    assert len(sample_initial(space, 50, 0, lambda a: True)) == 2
    assert sample_initial(space, 50, 0, lambda a: False) == []


@pytest.mark.parametrize("counts", [(), (5, 6)])
def test_rungs_that_widen_are_refused(counts: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none scores more networks"):
        halved(tmp_path, rungs(*((f"score@{number}", count, accuracy) for number, count in enumerate(counts))))
