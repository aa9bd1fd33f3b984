"""Laws of shrunken estimates: what they are between, when there are none, and that fronts and picks go by them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hwnas.io.resources import find_file
from hwnas.pareto import Objective, Tier
from hwnas.population import codebook_of
from hwnas.predictors import features_of
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.predictors.warp import Warp
from hwnas.problem.fronts.estimates import errors_of, estimated_front
from hwnas.search import shrinkage
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import ShrunkenEstimate, read_front, rerank_measured, tier_front, write_front
from hwnas.search.score_store import ScoreStore
from hwnas.search.shrinkage import FEWEST_NETWORKS, shrunken
from hwnas.space import Architecture, read_space

SPACE = read_space(find_file("digits", "search_spaces"))
CODEBOOK = codebook_of(SPACE)
TOP1, LATENCY = "top1@inherited", "latency_ms@pi4"
TIER = Tier("edge", (Objective(TOP1, "max"), Objective(LATENCY, "min")))
IMAGES = 200


def networks(count: int) -> list[Architecture]:
    rng = random.Random(0)
    return list(dict.fromkeys(SPACE.random(rng) for _ in range(count)))


def truth(architecture: Architecture) -> float:
    picks = dict(architecture.picks)
    return 0.8 + 0.003 * float(picks["s2.width"]) + 0.02 * float(picks["s2.depth"]) + 0.001 * float(picks["s1.width"])


def noisy(count: int, images: int = IMAGES) -> list[Evaluation]:
    rng = np.random.default_rng(1)
    return [
        Evaluation(one, {TOP1: float(rng.binomial(images, truth(one))) / images, LATENCY: 1.0 + number})
        for number, one in enumerate(networks(count))
    ]


def errors_from(evaluations: list[Evaluation], images: int = IMAGES) -> dict[str, float]:
    scores = {e.architecture.key: e.scores[TOP1] for e in evaluations}
    return {key: (p * (1 - p) / images) ** 0.5 for key, p in scores.items()}


EVALUATIONS = noisy(60)
ERRORS = errors_from(EVALUATIONS)
ESTIMATES = shrunken(EVALUATIONS, TIER.quality, ERRORS, CODEBOOK)


def test_estimates_are_nearer_to_the_truth_than_scores_and_say_how_near() -> None:
    true = np.array([truth(e.architecture) for e in EVALUATIONS])
    raw = np.array([e.scores[TOP1] for e in EVALUATIONS])
    estimates = [ESTIMATES[e.architecture.key] for e in EVALUATIONS]
    off = np.array([estimate.value for estimate in estimates]) - true
    assert np.mean(off**2) < 0.5 * np.mean((raw - true) ** 2)
    assert np.mean(np.abs(off) < 2 * np.array([estimate.error for estimate in estimates])) > 0.8


def test_an_estimate_lies_between_the_score_and_what_the_other_networks_let_expect() -> None:
    features = features_of(CODEBOOK)
    table = features(CODEBOOK.encode([e.architecture for e in EVALUATIONS])).astype(float)
    scores = np.array([e.scores[TOP1] for e in EVALUATIONS])
    z = Warp.fit(scores).forward(scores)
    process = GaussianProcess.fit(table, z, features.groups)
    noise = np.linspace(0.01, 2.0, len(z))
    own = max(process.noise - noise.mean(), 0.0)
    joint = process.covariance(process.points, process.points) + np.diag(own + noise)
    precision = np.linalg.inv(joint)
    others = z - precision @ (z - process.mean) / np.diag(precision)
    means, deviations = process.denoised(noise)
    assert (means >= np.minimum(others, z) - 1e-9).all()
    assert (means <= np.maximum(others, z) + 1e-9).all()
    assert (deviations <= np.sqrt(noise) + 1e-9).all(), "what others tell takes doubt away"


def test_scores_without_noise_are_their_own_estimates() -> None:
    exact = dict.fromkeys(ERRORS, 0.0)
    assert shrunken(EVALUATIONS, TIER.quality, exact, CODEBOOK) == {}
    assert shrunken(EVALUATIONS, TIER.quality, {}, CODEBOOK) == {}
    nearly = shrunken(EVALUATIONS, TIER.quality, dict.fromkeys(ERRORS, 1e-7), CODEBOOK)
    for evaluation in EVALUATIONS:
        assert nearly[evaluation.architecture.key].value == pytest.approx(evaluation.scores[TOP1], abs=1e-5)


def test_of_few_networks_nothing_is_learned() -> None:
    few = EVALUATIONS[: FEWEST_NETWORKS - 1]
    assert shrunken(few, TIER.quality, ERRORS, CODEBOOK) == {}
    assert len(shrunken(EVALUATIONS[:FEWEST_NETWORKS], TIER.quality, ERRORS, CODEBOOK)) == FEWEST_NETWORKS


def test_equal_scores_stay() -> None:
    equal = [Evaluation(e.architecture, {TOP1: 0.9}) for e in EVALUATIONS[:20]]
    values = {one.value for one in shrunken(equal, TIER.quality, dict.fromkeys(ERRORS, 0.02), CODEBOOK).values()}
    assert values == {0.9}


def test_the_order_of_evaluations_does_not_matter() -> None:
    mixed = random.Random(3).sample(EVALUATIONS, len(EVALUATIONS))
    assert shrunken(mixed, TIER.quality, ERRORS, CODEBOOK) == ESTIMATES
    fronts = [tier_front(rows, TIER, estimates=ESTIMATES) for rows in (EVALUATIONS, mixed)]
    assert fronts[0] == fronts[1]


def test_what_is_to_be_low_is_estimated_alike() -> None:
    wrong = [Evaluation(e.architecture, {"error": 1 - e.scores[TOP1]}) for e in EVALUATIONS]
    estimates = shrunken(wrong, Objective("error", "min"), ERRORS, CODEBOOK)
    for key, estimate in estimates.items():
        assert 1 - estimate.value == pytest.approx(ESTIMATES[key].value, abs=1e-4)


def test_a_network_that_was_right_on_all_images_is_not_taken_for_perfect() -> None:
    lucky = EVALUATIONS[0].architecture
    rows = [Evaluation(lucky, {TOP1: 1.0, LATENCY: 1.0}), *EVALUATIONS[1:]]
    estimates = shrunken(rows, TIER.quality, {**ERRORS, lucky.key: 0.0}, CODEBOOK)
    assert estimates[lucky.key].value < 0.99
    assert estimates[lucky.key].error > 0


def test_many_networks_are_estimated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinkage, "MOST", 25)
    assert shrunken(EVALUATIONS, TIER.quality, ERRORS, CODEBOOK).keys() == ESTIMATES.keys()


def test_a_front_and_its_picks_go_by_estimates_and_keep_what_was_measured(tmp_path: Path) -> None:
    a, b, c = (e.architecture for e in EVALUATIONS[:3])
    rows = [
        Evaluation(one, {TOP1: top1, LATENCY: ms}) for one, top1, ms in ((a, 0.90, 1.0), (b, 0.99, 2.0), (c, 0.95, 3.0))
    ]
    estimates = {
        a.key: ShrunkenEstimate(0.90, 0.01),
        b.key: ShrunkenEstimate(0.92, 0.01),
        c.key: ShrunkenEstimate(0.94, 0.01),
    }
    plain, points = tier_front(rows, TIER), tier_front(rows, TIER, estimates=estimates)
    assert [p.architecture for p in plain] == [a, b]
    assert [p.architecture for p in points] == [a, b, c]
    assert "best" in points[2].picks
    assert points[2].scores[TOP1] == 0.95
    measured = rerank_measured(points, TIER, {one.key: {LATENCY: 1.0 + n} for n, one in enumerate((a, b, c))})
    assert [p.kept for p in measured] == [True, True, True]
    write_front(tmp_path / "edge.json", tmp_path / "edge.csv", measured)
    assert read_front(tmp_path / "edge.json") == measured
    write_front(tmp_path / "plain.json", tmp_path / "plain.csv", plain)
    assert "estimates" not in json.loads((tmp_path / "plain.json").read_text())[0]


class Judge:
    """A source of accuracies that knows their errors."""

    producer = "judge"

    def __call__(self, architecture: Architecture) -> float:
        return truth(architecture)

    def standard_error(self, score: float) -> float | None:
        return 0.02


def test_errors_are_those_of_the_store_and_else_of_the_source(tmp_path: Path) -> None:
    store, stored = ScoreStore.open(tmp_path / "scores.jsonl"), EVALUATIONS[0]
    store.record(stored.architecture, TOP1, stored.scores[TOP1], producer="judge", elapsed_s=0.0, error=0.5)
    errors = errors_of([*EVALUATIONS, Evaluation(networks(61)[-1], {})], TOP1, cast(Any, Judge()), store)
    assert errors == {e.architecture.key: 0.02 for e in EVALUATIONS} | {stored.architecture.key: 0.5}


def test_exact_accuracies_need_no_features() -> None:
    run = cast(Any, SimpleNamespace())  # to ask it for its space would raise
    assert estimated_front(run, TIER, EVALUATIONS, {}, {}) == tier_front(EVALUATIONS, TIER, {})
    run = cast(Any, SimpleNamespace(space=SPACE))
    front = estimated_front(run, TIER, EVALUATIONS, ERRORS, {})
    assert all(p.estimates == {TOP1: ESTIMATES[p.architecture.key]} for p in front)
    assert all(p.errors == {TOP1: ERRORS[p.architecture.key]} for p in front)
