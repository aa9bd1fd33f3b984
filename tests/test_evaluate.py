"""Laws of evaluating: cheap before dear, nothing after a broken limit, failures are reasons and not numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, MissingExtra, TableError, TrainingError
from hwnas.pareto import Limit, Objective, Tier
from hwnas.search.evaluate import evaluate
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture
from hwnas.tasks import binomial_error

A = Architecture("s", (("depth", 2),))
TOP1, LATENCY, PARAMS = "top1@inherited", "latency_ms@pi4", "params@derived"
TIER = Tier(
    "edge", (Objective(TOP1, "max"), Objective(LATENCY, "min")), (Limit(PARAMS, 100.0), Limit(LATENCY, 20.0)),
)  # fmt: skip
PRODUCERS = {TOP1: "checkpoint ab12, 512 images"}


class Scorers(dict[str, Callable[[Architecture], float]]):
    """Scorers that note in which order they were called."""

    def __init__(self, **values: float | Exception) -> None:
        self.called: list[str] = []
        names = {"params": PARAMS, "latency": LATENCY, "top1": TOP1}
        super().__init__({names[name]: self._scorer(name, value) for name, value in values.items()})

    def _scorer(self, name: str, value: float | Exception) -> Callable[[Architecture], float]:
        def score(architecture: Architecture) -> float:
            self.called.append(name)
            if isinstance(value, Exception):
                raise value
            return value

        return score


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    return ScoreStore.open(tmp_path / "scores.jsonl")


def test_scores_come_in_order_and_all_are_there() -> None:
    scorers = Scorers(params=90, latency=10, top1=0.8)
    evaluation = evaluate(A, scorers, TIER)
    assert scorers.called == ["params", "latency", "top1"]
    assert evaluation.scores == {PARAMS: 90, LATENCY: 10, TOP1: 0.8}
    assert (evaluation.broken, evaluation.failed) == ((), None)
    assert evaluation.competes(TIER)


def test_a_scorer_that_knows_its_error_has_it_stored(store: ScoreStore) -> None:
    class Share:
        def __call__(self, architecture: Architecture) -> float:
            return 0.8

        def standard_error(self, score: float) -> float:
            return binomial_error(score, 400)

    scorers = {**Scorers(params=90, latency=10), TOP1: Share()}
    evaluate(A, scorers, TIER, store, PRODUCERS)
    kept = store.get(A, TOP1, PRODUCERS[TOP1])
    assert kept is not None
    assert kept.error == pytest.approx((0.8 * 0.2 / 400) ** 0.5)


def test_a_broken_limit_ends_the_evaluation() -> None:
    scorers = Scorers(params=90, latency=21, top1=0.8)
    evaluation = evaluate(A, scorers, TIER)
    assert scorers.called == ["params", "latency"]
    assert evaluation.broken == ("latency_ms@pi4 <= 20",)
    assert TOP1 not in evaluation.scores
    assert not evaluation.competes(TIER)


def test_a_stored_score_is_not_computed_again(store: ScoreStore) -> None:
    evaluate(A, Scorers(params=90, latency=10, top1=0.8), TIER, store, PRODUCERS)
    scorers = Scorers(params=90, latency=12, top1=0.1)
    evaluation = evaluate(A, scorers, TIER, ScoreStore.open(store.path), PRODUCERS)
    assert scorers.called == ["params", "latency"], "the cheap ones are computed each time"
    assert evaluation.scores == {PARAMS: 90, LATENCY: 12, TOP1: 0.8}
    other = evaluate(A, Scorers(params=90, latency=12, top1=0.1), TIER, store, {TOP1: "checkpoint cd34"})
    assert other.scores[TOP1] == 0.1


@pytest.mark.parametrize(
    "error",
    [
        TrainingError("the loss is NaN", where="x", allowed="y", do="z"),
        RuntimeError("out of memory"), ValueError("bad shape"), FloatingPointError("overflow"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_scorer_that_raises_makes_a_failed_evaluation(store: ScoreStore, error: Exception) -> None:
    evaluation = evaluate(A, Scorers(params=90, latency=10, top1=error), TIER, store, PRODUCERS)
    assert evaluation.failed is not None
    assert str(error) in evaluation.failed
    assert TOP1 in evaluation.failed
    assert TOP1 not in evaluation.scores
    assert not evaluation.competes(TIER)
    score = store.get(A, TOP1, PRODUCERS[TOP1])
    assert score is not None
    assert (score.value, str(error) in str(score.failed)) == (None, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_a_failure(store: ScoreStore, value: float) -> None:
    for scorers in (Scorers(params=90, latency=value, top1=0.8), Scorers(params=90, latency=10, top1=value)):
        evaluation = evaluate(A, scorers, TIER, store, PRODUCERS)
        assert f"the score is {value}" in str(evaluation.failed)


def test_a_stored_failure_stays_a_failure(store: ScoreStore) -> None:
    evaluate(A, Scorers(params=90, latency=10, top1=RuntimeError("boom")), TIER, store, PRODUCERS)
    scorers = Scorers(params=90, latency=10, top1=0.8)
    assert "boom" in str(evaluate(A, scorers, TIER, store, PRODUCERS).failed)
    assert "top1" not in scorers.called


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("x", where="x", allowed="y", do="z"),
        MissingExtra("x", where="x", allowed="y", do="z"),
        TableError("no row", where="x", allowed="y", do="z"),
        KeyError(),
    ],
)
def test_an_error_of_the_setup_stops_the_search(store: ScoreStore, error: Exception) -> None:
    with pytest.raises(type(error)):
        evaluate(A, Scorers(params=90, latency=10, top1=error), TIER, store, PRODUCERS)
    assert len(store) == 0


def test_a_metric_that_nothing_scores_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing scores the metric `latency_ms@pi4`"):
        evaluate(A, Scorers(params=90, top1=0.8), TIER)
