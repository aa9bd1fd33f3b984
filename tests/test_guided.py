"""`guided`: the expected gain, what is believed, and the proposals that follow from both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import optuna
import pytest

from hwnas.errors import ConfigError
from hwnas.pareto import Limit, Objective, Tier, hypervolume
from hwnas.predictors import Predictor
from hwnas.predictors.warp import Warp
from hwnas.search.evaluate import Evaluation, evaluate
from hwnas.search.study import Study, open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, GuidedSampler, grid
from hwnas.search.surrogate.acquisition import FAR, Observations
from hwnas.search.surrogate.ehvi import BoxDecomposition, beyond_front, improvements, probability_below
from hwnas.search.surrogate.evolution import REFUSED, evolve
from hwnas.search.surrogate.online_gp import CachedPosterior, OnlineGP
from hwnas.space import Architecture, FunctionSpace

TOP1, COST = "top1@toy", "cost@toy"
TIER = Tier("toy", (Objective(TOP1, "max"), Objective(COST, "min")))
PLACES, OPTIONS = 5, (0, 1, 2, 3)
SPACE = FunctionSpace("toy", lambda choose: [choose(f"c{i}", OPTIONS) for i in range(PLACES)])
CANDIDATES = grid({f"c{i}": OPTIONS for i in range(PLACES)})
POOR = 0.45
"""Accuracy below which one of a hundred networks lies."""


def cost(codes: Any) -> Any:
    return 1.0 + codes @ (1 + np.arange(codes.shape[1]) / 7)


def top1(codes: Any) -> Any:
    """More is better, neighbours that differ are better still."""
    return 1 - np.exp(-0.15 * codes.sum(axis=1) - 0.2 * (np.diff(codes, axis=1) != 0).sum(axis=1))


def score(architecture: Architecture, tier: Tier = TIER) -> Evaluation:
    codes = np.array([[value for _, value in architecture.picks]])
    scorers = {COST: lambda _: float(cost(codes)[0]), TOP1: lambda _: float(top1(codes)[0])}
    found = evaluate(architecture, scorers, tier)
    return Evaluation(found.architecture, found.scores, found.broken, 0.0, found.failed)


def plan(seed: int = 0, tier: Tier = TIER, **guided: Any) -> StudySpec:
    return StudySpec(SPACE, tier, "guided", seed=seed, guide=Acquisition(CANDIDATES, [cost], **guided))


def keys(study: Study) -> list[str]:
    return [evaluation.architecture.key for evaluation in study.evaluations]


# --- the gain ---


@pytest.mark.parametrize("known", [0, 1, 2])
def test_the_expected_gain_is_the_mean_gain_of_what_may_turn_out(known: int) -> None:
    rng = np.random.default_rng(known)
    warp = Warp.fit(-rng.gamma(2.0, size=60))
    costs, targets = rng.random((8, known)), rng.gamma(2.0, size=8)
    reference, limit = np.ones(known), 3.0
    cells = BoxDecomposition.of(costs, targets, np.zeros(known), reference, limit)
    mean, deviation = np.array([0.7, -0.2, 1.5]), np.array([0.8, 0.3, 0.1])
    candidates = rng.random((3, known)) * 0.8
    gains = (cells.widths(candidates) * improvements(mean, deviation, warp, cells.levels)).sum(axis=1)
    told = np.column_stack([costs, targets])
    corner = [*reference, limit]
    have = moocore.hypervolume(told, ref=corner) if known else limit - min(limit, targets.min())
    for candidate, m, s, gain in zip(candidates, mean, deviation, gains, strict=True):
        drawn = -warp.back(m + s * rng.standard_normal(4000))
        if known:
            rows = (np.vstack([told, [*candidate, value]]) for value in drawn)
            mean_gain = np.mean([moocore.hypervolume(row, ref=corner) - have for row in rows])
        else:
            mean_gain = np.mean(np.maximum(limit - have - drawn, 0))
        assert gain == pytest.approx(mean_gain, rel=0.06, abs=2e-3)


def test_what_is_beaten_for_certain_gains_nothing() -> None:
    warp = Warp.fit(np.linspace(-1, 0, 20))
    cells = BoxDecomposition.of(np.array([[0.2]]), np.array([0.1]), np.zeros(1), np.ones(1), 0.9)
    certain = improvements(warp.forward(np.array([-0.5])), np.array([1e-6]), warp, cells.levels)
    assert (cells.widths(np.array([[0.3]])) * certain).sum() == pytest.approx(0, abs=1e-9)
    assert (cells.widths(np.array([[0.1]])) * certain).sum() == pytest.approx(0.1 * 0.4, rel=0.05)


def test_a_bound_is_held_with_the_probability_that_is_told() -> None:
    warp, rng = Warp.fit(np.linspace(-1, 0, 20)), np.random.default_rng(0)
    told = probability_below(np.array([0.3]), np.array([0.5]), warp, 0.4)[0]
    drawn = -warp.back(0.3 + 0.5 * rng.standard_normal(20_000))
    assert told == pytest.approx(np.mean(drawn <= 0.4), abs=0.015)


# --- what is believed ---


@pytest.fixture
def believed() -> tuple[Predictor, OnlineGP, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    codes = rng.integers(4, size=(30, PLACES))
    features, targets = CANDIDATES.features(codes), top1(codes)
    predictor = Predictor.fit(features[:20], targets[:20], CANDIDATES.groups)
    belief = OnlineGP(predictor)
    return predictor, belief, features, belief.warp.forward(targets)


def test_points_taken_in_one_by_one_tell_what_the_process_tells_of_all(
    believed: tuple[Predictor, OnlineGP, np.ndarray, np.ndarray],
) -> None:
    predictor, belief, features, values = believed
    for point, value in zip(belief.place(features[:20]), values, strict=False):
        belief.add(point, float(value))
    others = CANDIDATES.features(np.random.default_rng(2).integers(4, size=(50, PLACES)))
    mean, deviation = belief.predict(belief.place(others))
    expected = predictor.latent(others)
    np.testing.assert_allclose(mean, expected[0], atol=1e-2)
    np.testing.assert_allclose(deviation, expected[1], atol=1e-2)


def test_a_watched_table_sees_what_the_belief_sees_and_forgets_with_it(
    believed: tuple[Predictor, OnlineGP, np.ndarray, np.ndarray],
) -> None:
    _, belief, features, values = believed
    watched, placed = CachedPosterior(belief, features), belief.place(features)
    for number in range(10):
        belief.add(placed[number], float(values[number]))
        np.testing.assert_allclose(watched.predict(), belief.predict(placed), atol=1e-3)
    before = watched.predict()
    belief.add(placed[20], 3.0)
    assert not np.allclose(watched.predict()[0], before[0], atol=1e-3)
    belief.rollback(10)
    watched.rollback(10)
    np.testing.assert_array_equal(watched.predict(), before)


# --- studies of hwnas ---


def test_a_continued_study_is_the_one_never_interrupted(tmp_path: Path) -> None:
    whole = open_study(plan(3))
    whole.run(score, 40)
    for stop in (9, 23, 40):
        open_study(plan(3), tmp_path / "study.log").run(score, stop)
    assert keys(open_study(plan(3), tmp_path / "study.log")) == keys(whole)


def test_every_architecture_is_tried_once_and_then_the_search_ends() -> None:
    tiny = FunctionSpace("tiny", lambda choose: [choose(f"c{i}", OPTIONS) for i in range(3)])
    guide = Acquisition(grid({f"c{i}": OPTIONS for i in range(3)}), [cost])
    study = open_study(StudySpec(tiny, TIER, "guided", guide=guide))
    finished = study.run(score, 100)
    assert len(set(keys(study))) == finished.trials == 4**3


def test_what_is_over_a_limit_is_never_evaluated() -> None:
    tier = Tier("toy", TIER.objectives, (Limit(COST, 5.0),))
    study = open_study(plan(0, tier, limits=[(cost, 5.0)]))
    finished = study.run(lambda a: score(a, tier), 2000)
    inside = int((cost(CANDIDATES.everything.codes) <= 5.0).sum()) if CANDIDATES.everything else 0
    assert finished.trials == inside
    assert not any(evaluation.broken for evaluation in study.evaluations)
    assert finished.stopped == "every network within the limits was tried"


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_more_than_random_search(seed: int) -> None:
    volume = {}
    for sampler in ("guided", "random"):
        guide = Acquisition(CANDIDATES, [cost])
        study = open_study(StudySpec(SPACE, TIER, sampler, seed=seed, guide=guide))
        study.run(score, 50)
        scores = [evaluation.scores for evaluation in study.evaluations]
        volume[sampler] = hypervolume(scores, TIER.objectives, {TOP1: 0.0, COST: 30.0})
    assert volume["guided"] > 1.01 * volume["random"]


def test_a_floor_of_the_learned_metric_is_held_with_its_confidence() -> None:
    floor = 0.85
    tier = Tier("toy", TIER.objectives, (Limit(TOP1, floor, "least"),))
    study = open_study(plan(1, tier, bound=-floor, confidence=0.8))
    study.run(lambda a: score(a, tier), 60)
    later = study.evaluations[25:]
    assert sum(not evaluation.broken for evaluation in later) >= 0.8 * len(later)


def test_another_confidence_is_another_study_and_the_usual_one_is_as_ever() -> None:
    tier = Tier("toy", TIER.objectives, (Limit(TOP1, 0.85, "least"),))
    usual, surer, plain = (plan(1, tier, **how) for how in ({"bound": -0.85}, {"bound": -0.85, "confidence": 0.8}, {}))
    assert usual.digest == plain.digest != surer.digest


@pytest.mark.parametrize("seed", range(3))
def test_with_nothing_unwanted_more_of_the_poor_end_of_a_steep_front_is_searched(seed: int) -> None:
    """The least accurate networks cost next to nothing."""

    def steep(codes: Any) -> Any:
        return np.where(top1(codes) < POOR, 0.1 * cost(codes), 50 + cost(codes))

    tried = {}
    for share in (0.1, 0.0):
        guide, told = Acquisition(CANDIDATES, [steep], unwanted=share), CANDIDATES.draw(12, np.random.default_rng(seed))
        for number in range(20):
            found = guide.propose(Observations(told, -top1(told), np.ones(len(told), np.bool_)), told[:0], (0, number))
            assert found is not None
            told = np.vstack([told, found])
        tried[share] = int((top1(told[12:]) < POOR).sum())
    assert tried[0.0] > tried[0.1]


@pytest.mark.parametrize("seed", range(2))
def test_with_nothing_unwanted_a_network_that_no_front_needs_may_cost_anything(seed: int) -> None:
    """The dearest network is beaten by a cheaper one; only every so many proposals depend on how dear it is."""

    def outlying(codes: Any) -> Any:
        return np.where(np.all(codes == OPTIONS[-1], axis=1), 1000.0, 1.0) * cost(codes)

    told = CANDIDATES.draw(12, np.random.default_rng(seed))
    guides = [Acquisition(CANDIDATES, [price], unwanted=0.0) for price in (cost, outlying)]
    for _ in range(8):
        seen = Observations(told, -top1(told), np.ones(len(told), np.bool_))
        one, other = (guide.propose(seen, told[:0], (0, len(told))) for guide in guides)
        assert one is not None
        assert len(told) % FAR == 0 or np.array_equal(one, other)
        told = np.vstack([told, one])


def test_the_point_beyond_a_front_is_a_tenth_of_its_range_worse_whatever_is_behind_or_impossible() -> None:
    costs, target = beyond_front(np.array([[1.0, 9.0], [3.0, 4.0], [2.0, 10.0], [90.0, 4.5], [np.inf, 0.0]]))
    assert (costs.tolist(), target) == ([pytest.approx(3.2)], pytest.approx(9.5))
    assert beyond_front(np.array([[np.inf, 1.0]]))[1] == np.inf


def test_another_share_of_unwanted_networks_is_another_study() -> None:
    assert plan(1).digest == plan(1, unwanted=0.1).digest != plan(1, unwanted=0.0).digest


def test_failed_networks_are_not_learned_from_and_not_tried_again() -> None:
    def failing(architecture: Architecture) -> Evaluation:
        found = score(architecture)
        if dict(architecture.picks)["c0"] == 1:
            return Evaluation(architecture, {COST: found.scores[COST]}, (), 0.0, "it did not build")
        return found

    study = open_study(plan(2))
    study.run(failing, 60)
    assert len(set(keys(study))) == 60
    assert any(evaluation.failed for evaluation in study.evaluations)


# --- studies of Optuna ---


def asked(sampler: GuidedSampler, trials: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        codes = np.array([[trial.suggest_categorical(f"c{i}", OPTIONS) for i in range(PLACES)]])
        return float(top1(codes)[0]), float(cost(codes)[0])

    study.optimize(objective, trials)
    return study


def of_params(params: Any) -> float:
    return float(cost(np.array([[params[f"c{i}"] for i in range(PLACES)]]))[0])


def test_any_study_of_optuna_can_use_it() -> None:
    study = asked(GuidedSampler(known={1: of_params}, seed=0), 40)
    found = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(found)) == 40
    again = asked(GuidedSampler(known={1: of_params}, seed=0), 40)
    assert [trial.params for trial in again.trials] == [trial.params for trial in study.trials]


def test_trials_that_are_open_at_a_time_differ() -> None:
    study = asked(GuidedSampler(known={1: of_params}, seed=0), 30)
    batch = [study.ask(study.trials[0].distributions) for _ in range(6)]
    assert len({tuple(sorted(trial.params.items())) for trial in batch}) == 6


def test_more_than_one_unknown_objective_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 of 2 objectives are known"):
        asked(GuidedSampler(seed=0), 3)


def test_a_plan_without_a_guide_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing is known of the networks beforehand"):
        open_study(StudySpec(SPACE, TIER, "guided"))


# --- spaces too large to be looked at whole ---


LARGE = grid({f"c{i:02}": OPTIONS for i in range(20)})


def large(score_of: Callable[[Any], Any]) -> Any:
    return evolve(LARGE, score_of, np.empty((0, 20), np.intp), np.random.default_rng(0))


def test_evolution_finds_the_best_of_a_million_millions() -> None:
    wanted = np.random.default_rng(5).integers(4, size=20)
    found = large(lambda codes: (codes == wanted).sum(axis=1).astype(float))
    assert (found == wanted).sum() >= 19


def test_evolution_scores_no_child_over_a_limit_and_nothing_twice() -> None:
    scored: list[Any] = []

    def score_of(codes: Any) -> Any:
        scored.append(codes)
        return np.where(cost(codes) > 60.0, REFUSED - cost(codes), codes.sum(axis=1))

    nothing = np.empty((0, 20), np.intp)
    evolve(LARGE, score_of, nothing, np.random.default_rng(0), excess=lambda codes: np.maximum(cost(codes) - 60, 0))
    assert max(cost(codes).max() for codes in scored[20:]) <= 60.0
    everybody = np.concatenate(scored)
    assert len(np.unique(everybody, axis=0)) == len(everybody)


def test_evolution_tells_when_nothing_is_allowed() -> None:
    assert large(lambda codes: np.full(len(codes), -np.inf)) is None


def test_a_large_space_is_searched_within_its_limits() -> None:
    limits = [(cost, 60.0)]
    guide, told = Acquisition(LARGE, [cost], limits=limits), np.empty((0, 20), dtype=np.intp)
    for number in range(24):
        targets = -top1(told)
        found = guide.propose(Observations(told, targets, np.ones(len(told), np.bool_)), told[:0], (0, number))
        assert found is not None
        assert not (found == told).all(axis=1).any()
        told = np.vstack([told, found])
    assert (cost(told) <= 60.0).all()
    rows, corner = np.column_stack([cost(told), -top1(told)]), [60.0, -0.5]
    before, after = (moocore.hypervolume(rows[:count], ref=corner) for count in (10, 24))
    assert after > 1.02 * before


# --- when there are many scores ---


def proposed(count: int, stops: tuple[int, ...] = ()) -> Any:
    """The networks of a study in a large space that begins to work proposals out together at 30 scores."""
    guide, told = Acquisition(LARGE, [cost], limits=[(cost, 60.0)]), LARGE.draw(30, np.random.default_rng(0))
    while len(told) < count:
        if len(told) in stops:
            guide = Acquisition(LARGE, [cost], limits=[(cost, 60.0)])
        valid = cost(told) <= 60.0
        targets = np.where(np.arange(len(told)) % 11 == 5, np.nan, -top1(told))
        found = guide.propose(Observations(told, targets, valid & np.isfinite(targets)), told[:0], (0, len(told)))
        assert found is not None
        told = np.vstack([told, found])
    return told


@pytest.fixture
def many_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.search.surrogate.acquisition.MANY_SCORED", 25)


@pytest.mark.usefixtures("many_are_few")
def test_of_many_scores_the_front_grows_with_new_networks_within_the_limits() -> None:
    told = proposed(200)
    assert len(np.unique(told, axis=0)) == 200
    assert (cost(told[30:]) <= 60.0).all()
    rows, corner = np.column_stack([cost(told), -top1(told)]), [60.0, -0.5]
    drawn = LARGE.draw(20_000, np.random.default_rng(1))
    random = np.column_stack([cost(drawn), -top1(drawn)])
    assert moocore.hypervolume(rows, ref=corner) > moocore.hypervolume(random, ref=corner)


@pytest.mark.usefixtures("many_are_few")
def test_of_many_scores_a_continued_study_is_the_one_never_interrupted() -> None:
    assert np.array_equal(proposed(100), proposed(100, stops=(47, 60, 81)))


@pytest.mark.usefixtures("many_are_few")
def test_of_many_scores_networks_that_are_open_are_not_proposed_again() -> None:
    told, opened = LARGE.draw(40, np.random.default_rng(0)), np.empty((0, 20), np.intp)
    guide = Acquisition(LARGE, [cost])
    for number in range(90):  # more than are worked out together
        found = guide.propose(Observations(told, -top1(told), np.ones(40, np.bool_)), opened, (0, number))
        assert found is not None
        opened = np.vstack([opened, found])
    assert len(np.unique(np.concatenate([told, opened]), axis=0)) == 130
