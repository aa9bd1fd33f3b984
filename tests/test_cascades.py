"""Cascades: confidences, thresholds with a guarantee, pairs of networks. Predictions here are synthetic."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from hwnas.collaborate.cascades import Answers, Pair, Parts, cascade_curve, split_held_out
from hwnas.collaborate.guarantee import (
    binomial_upper,
    certify_threshold,
    fixed_thresholds,
    loss_bounds,
)
from hwnas.collaborate.learned.deferral import LearnedDeferral, fit_deferral
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.pareto import Objective, front
from hwnas.problem.plans.cascade_drafts import CascadeDraft
from hwnas.problem.plans.drafts import Promise
from hwnas.tasks.confidence import calibration_error, class_confidences, fit_temperature, log_softmax

STORED = 40_000
SET = 4_000


def answers(seed: int, skill: float, common: np.ndarray) -> Answers:
    """Synthetic answers: hard samples are hard for all networks, and a network is less sure of what it gets wrong."""
    rng = np.random.default_rng(seed)
    chance = np.clip(1.02 - common**2 * (1.1 - skill), 0, 1)
    right = (rng.random(len(common)) < chance).astype(float)
    confidence = np.clip(chance + rng.normal(0, 0.08, len(common)) - 0.05 * (1 - right), 0, 1)
    return Answers(right, {"max_prob": confidence, "noise": rng.random(len(common))}, "synthetic")


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A pair whose cloud is some points better, with a set-apart part and a large rest that stands for all samples."""
    common = np.random.default_rng(0).random(STORED)
    rows = np.arange(STORED)
    return Pair(answers(1, 0.45, common), answers(2, 0.75, common), Parts(rows[:SET], rows[SET:SET], rows[SET:]))


def test_the_synthetic_cloud_is_better(pair: Pair) -> None:
    gap = pair.cloud.scores.mean() - pair.edge.scores.mean()
    assert 0.05 < gap < 0.15
    assert 0.02 < pair.error_correlation < 0.9


# --- the guarantee ---


@pytest.mark.parametrize(
    ("rule", "epsilon", "delta"),
    [("max_prob", 0.01, 0.1), ("max_prob", 0.02, 0.05), ("noise", 0.01, 0.1), ("learned", 0.01, 0.1)],
)
def test_a_thousand_resplits_break_the_promise_no_more_often_than_promised(
    pair: Pair, rule: str, epsilon: float, delta: float
) -> None:
    rest = pair.parts.judging
    confidence = pair.confidences[rule]
    losses = pair.cloud.scores - pair.edge.scores
    thresholds = fixed_thresholds(confidence[pair.parts.setting])
    rng = np.random.default_rng(3)
    broken = keeps = 0
    for _ in range(1000):
        rows = rng.choice(rest, 1500, replace=False)
        guarantee = certify_threshold(confidence[rows], losses[rows], thresholds, epsilon, delta)
        lost = np.where(confidence[rest] >= guarantee.threshold, losses[rest], 0).mean()
        broken += lost > epsilon
        keeps += guarantee.keeps_any
    assert broken / 1000 <= delta + 2 * (delta * (1 - delta) / 1000) ** 0.5
    assert rule == "noise" or keeps > 950


def test_a_promise_that_may_break_does_break_when_the_bound_is_left_out(pair: Pair) -> None:
    """The test above can fail: the same with the mean in place of its bound."""
    rest, confidence = pair.parts.judging, pair.edge.confidences["max_prob"]
    losses, rng, broken = pair.cloud.scores - pair.edge.scores, np.random.default_rng(3), 0
    for _ in range(300):
        rows = rng.choice(rest, 1500, replace=False)
        curve = cascade_curve(confidence[rows], pair.edge.scores[rows], pair.cloud.scores[rows])
        fit = np.flatnonzero(curve.accuracy >= pair.cloud.scores[rows].mean() - 0.01)
        broken += np.where(confidence[rest] >= curve.thresholds[fit[-1]], losses[rest], 0).mean() > 0.01
    assert broken / 300 > 0.2


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    hits, count = np.array([0.0, 3.0, 50.0]), np.array([100.0, 100.0, 100.0])
    bounds = binomial_upper(hits, count, 0.05)
    from scipy.stats import binom

    assert binom.cdf(hits, count, bounds) == pytest.approx([0.05] * 3)
    assert binomial_upper(np.array([7.0]), np.array([7.0]), 0.05) == [1.0]


def test_more_samples_certify_more_and_too_few_nothing(pair: Pair) -> None:
    confidence, losses = pair.edge.confidences["max_prob"], pair.cloud.scores - pair.edge.scores
    thresholds = fixed_thresholds(confidence[pair.parts.setting])
    rows = pair.parts.judging
    found = [
        certify_threshold(confidence[rows[:n]], losses[rows[:n]], thresholds, 0.01, 0.05) for n in (300, 3000, 30_000)
    ]
    assert not found[0].keeps_any
    assert found[1].threshold > found[2].threshold
    kept = [certify_threshold(np.ones(n), np.zeros(n), np.array([0.5]), 0.01, 0.05).keeps_any for n in (367, 368)]
    assert kept == [False, True]  # as the documentation has it, of an edge that fails nowhere


def test_the_fastest_of_many_cascades_keeps_the_promise_that_they_share() -> None:
    """Networks of equal skill lose a little more than epsilon; the cascade that keeps the most is taken."""
    rng, broken, rules = np.random.default_rng(4), {1: 0, 20: 0}, 20
    for _ in range(300):
        confidence = rng.random((rules, 1500))
        losses = (rng.random((rules, 1500)) < 0.021).astype(float)  # of a kept half, 0.0105 of all
        for cascades in broken:
            delta = Promise(0.01, 0.1).shared(cascades).delta
            found = [
                certify_threshold(own, lost, np.array([0.5]), 0.01, delta)
                for own, lost in zip(confidence, losses, strict=True)
            ]
            broken[cascades] += any(one.keeps_any for one in found)
    assert broken[20] / 300 <= 0.1 < broken[1] / 300


def test_cascades_that_are_chosen_by_what_the_search_saw_keep_the_promise_that_fewer_share() -> None:
    """Edges of equal skill, sure of the less the more they fail; any of those on the front of the setting may win."""
    rng, parts, epsilon, delta, rounds = np.random.default_rng(5), split_held_out(400, 3000, 0), 0.01, 0.1, 50
    sent = Candidate("cloud_only", PlanAccuracy(0.95, None, "synthetic"))
    broken, certified, tested = 0, 0, list[int]()
    for _ in range(rounds):
        drafts = []
        for _ in range(6):
            sure, luck = rng.random(3400), rng.random((2, 3400))
            edge, cloud = (luck[0] > 0.25 * (1 - sure)).astype(float), (luck[1] > 0.05).astype(float)
            own = Answers(edge, {"margin": sure}, "synthetic")
            drafts.append(CascadeDraft(Pair(own, Answers(cloud, {}, "synthetic"), parts), sent, sent, "margin"))
        expected = [one for draft in drafts if (one := draft.expected(epsilon)) is not None]
        rows = [{"accuracy": one.accuracy.value, "asked": one.escalated} for one in expected]
        chosen = [drafts[n] for n in front(rows, (Objective("accuracy", "max"), Objective("asked", "min")))]
        promise = Promise(epsilon, delta).shared(len(chosen))
        judged = [one for draft in chosen if (one := draft.judged(promise, True, "")) is not None]
        points = [one.cascade for one in judged if one.cascade is not None and one.cascade.guarantee is not None]
        doubts = [1 - point.threshold for point in points]
        broken += any(0.125 * doubt**2 - 0.05 * doubt > epsilon for doubt in doubts)  # what is lost of all samples
        certified += len(points)
        tested.append(len(chosen))
    assert certified
    assert np.mean(tested) < 4
    assert broken / rounds <= delta + 2 * np.sqrt(delta * (1 - delta) / rounds)
    untested = drafts[0].judged(Promise(epsilon, delta), False, "")
    assert untested is not None
    assert untested.extras["no_guarantee"]


def test_losses_between_0_and_1_have_a_bound_that_holds() -> None:
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(400):
        losses = rng.beta(0.3, 6.0, 500) - rng.beta(0.3, 6.0, 500) * 0.5
        broken += loss_bounds(rng.random(500), losses, np.array([0.0]), 0.1)[0] < 0.3 / 6.3 * 0.5
    assert broken / 400 <= 0.1


def test_a_task_with_scores_of_its_own_has_cascades() -> None:
    """Of a regression whose networks tell their own variance; qualities lie between 0 and 1."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.01, 1.0, 12_000)
    edge, cloud = (np.exp(-np.abs(rng.normal(0, width))) for width in (spread, 0.2 * spread))
    edges = Answers(edge, {"variance": 1 - spread}, "synthetic")
    pair = Pair(edges, Answers(cloud, {}, "synthetic"), split_held_out(2_000, 10_000, 0))
    point = pair.certified("variance", 0.05, 0.05)
    assert point is not None
    rows = pair.parts.judging
    assert point.accuracy >= cloud[rows].mean() - 0.05
    assert edge[rows].mean() < point.accuracy
    assert 0.1 < point.escalated < 0.9


# --- the learned rule ---


def test_a_learned_rule_finds_the_coefficients_that_answers_were_made_with() -> None:
    rng = np.random.default_rng(0)
    confidences = {"margin": rng.beta(2, 1, 60_000), "entropy": rng.beta(1, 2, 60_000)}
    made = LearnedDeferral({"margin": 1.5, "entropy": -0.7}, 0.4)
    keeps = (rng.random(60_000) < made.confidence(confidences)).astype(float)
    found = fit_deferral(confidences, keeps)
    assert found is not None
    assert found.intercept == pytest.approx(made.intercept, abs=0.1)
    assert found.weights == pytest.approx(made.weights, abs=0.1)
    stored = json.loads(json.dumps(found.as_dict()))
    logit = stored["intercept"] + sum(
        weight * -np.log(1 - confidences[rule] + 1e-4) for rule, weight in stored["weights"].items()
    )
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(found.confidence(confidences))


def test_a_learned_rule_asks_less_where_the_cloud_does_not_help() -> None:
    """Of unsure samples, half are noise on which the cloud fails too; the second rule tells them."""
    rng = np.random.default_rng(1)
    hard, noise = rng.random(24_000) < 0.4, rng.random(24_000) < 0.5
    edge = np.where(hard, rng.random(24_000) < 0.3, 1.0)
    cloud = np.where(hard & noise, edge, 1.0)
    jitter = rng.uniform(0, 0.05, (2, 24_000))
    rules = {"sure": np.where(hard, 0.3, 0.9) + jitter[0], "clean": np.where(noise, 0.9, 0.3) + jitter[1]}
    pair = Pair(Answers(edge, rules, "synthetic"), Answers(cloud, {}, "synthetic"), split_held_out(4_000, 20_000, 0))
    points = {rule: pair.certified(rule, 0.01, 0.05) for rule in pair.confidences}
    learned, sure = points["learned"], points["sure"]
    assert learned is not None
    assert sure is not None
    assert learned.escalated < 0.7 * sure.escalated
    assert (
        Promise().facts(pair, learned, is_tested=True)["deferral"] == pair.deferral.as_dict()
        if pair.deferral
        else False
    )
    assert Promise().facts(pair, sure, is_tested=True)["deferral"] is None


def test_a_learned_rule_looks_at_setting_samples_alone(pair: Pair) -> None:
    """Other answers to the samples on which its promise is tested, or by which it is judged, change no coefficient."""
    scores = pair.cloud.scores.copy()
    scores[SET:] = 1 - scores[SET:]
    other = replace(pair, cloud=replace(pair.cloud, scores=scores))
    assert other.deferral == pair.deferral is not None


def test_nothing_is_learned_where_there_is_nothing_to_learn(pair: Pair) -> None:
    assert fit_deferral({"margin": np.array([0.1, 0.9])}, np.array([0.0, 1.0])) is None
    assert replace(pair, cloud=pair.edge).confidences.keys() == pair.edge.confidences.keys()


# --- curves and pairs ---


def test_a_curve_is_what_each_threshold_gives(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 20, 200) / 20  # many are equal
    edge, cloud = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    curve = cascade_curve(confidence, edge, cloud)
    for threshold, accuracy, escalated in zip(curve.thresholds, curve.accuracy, curve.escalated, strict=True):
        kept = confidence >= threshold
        assert accuracy == pytest.approx(np.where(kept, edge, cloud).mean())
        assert escalated == pytest.approx(1 - kept.mean())
    assert (curve.accuracy[0], curve.accuracy[-1]) == (cloud.mean(), edge.mean())
    assert curve.accuracy.max() <= np.maximum(edge, cloud).mean()


def test_all_thresholds_of_all_pairs_take_seconds() -> None:
    rng = np.random.default_rng(0)
    confidences, edges = rng.random((20, 1000)), rng.integers(0, 2, (20, 1000))
    clouds = rng.integers(0, 2, (21, 1000))
    begun = time.process_time()
    for confidence, edge in zip(confidences, edges, strict=True):
        for cloud in clouds:
            cascade_curve(confidence, edge, cloud)
    assert time.process_time() - begun < 2


def test_a_pair_is_judged_on_samples_by_which_nothing_was_chosen(pair: Pair) -> None:
    parts = split_held_out(SET, STORED - SET, seed=0)
    everything = np.concatenate([parts.setting, parts.calibration, parts.judging])
    assert sorted(everything.tolist()) == list(range(STORED))
    judged = replace(pair, parts=parts)
    point = judged.certified("max_prob", 0.01, 0.05)
    assert point is not None
    cloud, edge = (one.scores[parts.judging].mean() for one in (pair.cloud, pair.edge))
    assert cloud - 0.02 < point.accuracy
    assert edge < point.accuracy
    assert 0.02 < point.escalated < 0.98
    random = judged.empirical("noise", 0.01)
    assert random.guarantee is None
    assert point.escalated < random.escalated
    straight = edge + (cloud - edge) * random.escalated
    assert random.accuracy == pytest.approx(straight, abs=0.01)


def test_networks_that_fail_together_are_told(pair: Pair) -> None:
    assert replace(pair, cloud=pair.edge).error_correlation == pytest.approx(1.0)
    flawless = replace(pair.cloud, scores=np.ones(STORED))
    assert replace(pair, cloud=flawless).error_correlation == 0.0


# --- confidence ---


def test_the_temperature_that_logits_were_scaled_by_comes_back() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 5))
    shares = np.exp(log_softmax(logits))
    labels = (rng.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 4)
    for true in (0.5, 1.0, 3.0):
        assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.06)
    right = logits.argmax(axis=1) == labels
    over, fit = (class_confidences(logits * 3, temperature)["max_prob"] for temperature in (1.0, 3.0))
    assert calibration_error(over, right) > 0.1
    assert calibration_error(fit, right) < 0.02


def test_rules_are_shares_and_agree_on_the_ends() -> None:
    logits = np.array([[100.0, 0, 0], [1.0, 1.0, 1.0], [2.0, 1.9, 0]])
    rules = class_confidences(logits)
    for confidence in rules.values():
        assert ((confidence >= 0) & (confidence <= 1)).all()
        assert confidence[0] == pytest.approx(1)
        assert confidence.argmin() == 1
