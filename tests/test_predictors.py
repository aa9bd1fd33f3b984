"""Predictors: equal networks look equal, what is learned holds on unseen ones, and intervals cover what they say."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwnas.cell import EDGES, KNOBS, OPERATIONS, Cell, representative, traits
from hwnas.errors import ConfigError, PredictionError
from hwnas.ops.cell import Cell as CellOperator
from hwnas.ops.costs import operator_costs
from hwnas.population import codebook_of, population_costs
from hwnas.predictors import MODELS, Predictor, choose, features_of
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.predictors.warp import Warp
from hwnas.space import AnySpace
from tests.helpers.spaces import SMALL, SPACES, space_of

Floats = NDArray[np.float64]
SOME_CELLS = [tuple(random.Random(seed).choices(OPERATIONS, k=len(EDGES))) for seed in range(300)]
EDGE = ["skip_connect", "none", "nor_conv_1x1", "nor_conv_3x3"]
CELLS = space_of(
    {"name": "stem", "op": "conv", "width": 4},
    {"name": "s1", "op": "cell", "width": 4, "depth": 2, "edge_1_0": "$a", "edge_2_0": "$b", "edge_2_1": "$c"}
    | {"edge_3_0": "none", "edge_3_1": "skip_connect", "edge_3_2": "avg_pool_3x3"},
    choices={"a": EDGE, "b": EDGE, "c": EDGE},
)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- features ---


def test_equal_cells_have_equal_traits() -> None:
    for cell in SOME_CELLS:
        assert traits(cell) == traits(representative(cell))


def test_the_traits_of_a_cell_are_those_counted_by_hand() -> None:
    """A 3x3 to node 1; from there a skip and, over a pool and node 2, a 1x1; one 3x3 from the input, none else."""
    cell: Cell = ("nor_conv_3x3", "none", "avg_pool_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1")
    told = traits(cell)
    assert told["paths/nor_conv_3x3"] == 2
    assert told["paths/nor_conv_1x1>avg_pool_3x3>nor_conv_3x3"] == 1
    assert sum(value for name, value in told.items() if name.startswith("paths/")) == told["shape/paths"] == 3
    assert (told["shape/most convolutions"], told["shape/least convolutions"]) == (2, 1)
    assert (told["shape/all 3x3"], told["shape/mean pools"]) == (3, 1 / 3)
    assert (told["shape/skips"], told["shape/without pools"], told["shape/dead"]) == (0, 2, 0)


def test_a_cell_without_a_path_says_so() -> None:
    told = traits(("none",) * 6)
    assert told["shape/dead"] == 1
    assert told["shape/most convolutions"] == -1


def test_summands_cost_together_what_the_cell_costs() -> None:
    for cell in SOME_CELLS[:8]:
        operator = CellOperator(8, 8, **dict(zip(KNOBS, cell, strict=True)))
        parts = [operator_costs(summand, (8, 6, 6)) for summand in operator.summands]
        whole = operator_costs(operator, (8, 6, 6))
        assert (sum(p.params for p in parts), sum(p.macs for p in parts)) == (whole.params, whole.macs)


@pytest.mark.parametrize("space", [*SPACES.values(), CELLS], ids=[*SPACES, "cells"])
def test_features_tell_all_networks_apart_and_no_equal_ones(space: AnySpace) -> None:
    codebook = codebook_of(space)
    features, codes = features_of(codebook), codebook.draw(200, rng_of(0))
    shaken = np.where(codebook.active(codes), codes, 0)
    unlike = np.unique(shaken, axis=0)
    assert (features(codes) == features(shaken)).all()
    assert len(np.unique(features(unlike), axis=0)) == len(unlike)


def test_cells_that_are_equal_have_equal_features() -> None:
    codebook = codebook_of(CELLS)
    features = features_of(codebook)
    codes = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    equal = features(codes) == features(codebook.canonical(codes))
    assert equal.all()


def test_costs_among_the_features_are_those_of_the_networks() -> None:
    codebook = codebook_of(SMALL["widths and strides"])
    features, codes = features_of(codebook), codebook.draw(50, rng_of(0))
    costs, table = population_costs(codebook, codes), features(codes)
    for name, exact in (("costs/params", costs.params), ("costs/macs", costs.macs)):
        place = features.names.index(name)
        told = table[:, place] * features.scale[place] + features.center[place]
        assert told == pytest.approx(exact, rel=1e-4)


def test_scores_enter_by_rank_and_a_gap_is_told_as_a_gap() -> None:
    codebook = codebook_of(SMALL["per layer"])
    known = np.exp(rng_of(0).normal(size=(40, 1)) * 50)
    features, codes = features_of(codebook, known), codebook.draw(40, rng_of(1))
    table = features(codes, known)
    rank, missing = (features.names.index(f"scores/{what} 0") for what in ("rank", "missing"))
    assert (np.argsort(table[:, rank]) == np.argsort(known[:, 0])).all()
    assert np.abs(table[:, rank]).max() < 4
    gaps = features(codes, np.where(np.arange(40)[:, None] < 10, np.nan, known))
    assert (gaps[:, missing] == (np.arange(40) < 10)).all()
    assert np.isfinite(gaps).all()


def test_other_scores_than_the_features_were_made_with_are_refused() -> None:
    codebook = codebook_of(SMALL["per layer"])
    features = features_of(codebook, np.ones((4, 2)))
    with pytest.raises(PredictionError, match="made with 2 scores of each network"):
        features(codebook.draw(3, rng_of(0)))


# --- the Gaussian process ---


def wavy(count: int, seed: int, noise: float = 0.05) -> tuple[Floats, Floats]:
    """A smooth function of two of five columns, and noise."""
    rng = rng_of(seed)
    X = rng.normal(size=(count, 5))
    return X, np.sin(X[:, 0]) + 0.5 * X[:, 1] + noise * rng.normal(size=count)


GROUPS = np.array([0, 1, 2, 2, 2])


def test_it_finds_out_which_groups_matter() -> None:
    process = GaussianProcess.fit(*wavy(100, 0), GROUPS)
    assert process.weights[2:].max() < 0.3 * process.weights[:2].min()
    X, z = wavy(500, 1, noise=0.0)
    assert np.corrcoef(process.predict(X)[0], z)[0, 1] > 0.98


def test_what_is_left_out_is_predicted_as_if_it_had_not_been_there() -> None:
    X, z = wavy(30, 0)
    process = GaussianProcess.fit(X, z, GROUPS)
    means, deviations = process.held_out
    K = covariance(process, process.points, process.points)
    for out in range(3):
        others = np.arange(30) != out
        solved = np.linalg.solve(K[np.ix_(others, others)] + process.noise * np.eye(29), K[others, out])
        assert means[out] == pytest.approx(process.mean + solved @ (z[others] - process.mean), abs=1e-6)
        assert deviations[out] ** 2 == pytest.approx(K[out, out] + process.noise - solved @ K[others, out], abs=1e-6)


def covariance(process: GaussianProcess, a: Floats, b: Floats) -> Floats:
    r = np.sqrt(5) * np.linalg.norm(a[:, None] - b, axis=2)
    found: Floats = process.signal * (1 + r + r**2 / 3) * np.exp(-r)
    return found


def test_predictions_in_single_precision_are_those_in_double() -> None:
    X, z = wavy(200, 0, noise=0.01)
    process = GaussianProcess.fit(X, z, GROUPS)
    other = wavy(50, 1)[0]
    across = covariance(process, (other - process.center) * process.weights, process.points)
    K = covariance(process, process.points, process.points) + process.noise * np.eye(len(z))
    means, deviations = process.predict(other)
    assert means == pytest.approx(process.mean + across @ np.linalg.solve(K, z - process.mean), abs=5e-3)
    exact = process.signal - np.einsum("ij,ij->i", across, np.linalg.solve(K, across.T).T) + process.noise
    wider = 1 + process.fitted / len(z)
    assert deviations == pytest.approx(np.sqrt(wider * exact), rel=0.05)


def test_the_gradient_of_the_likelihood_is_its_slope() -> None:
    from scipy.optimize import check_grad

    from hwnas.predictors.gaussian_process import _squares, _surprise

    X, z = wavy(20, 0)
    squares = [_squares(part, part) for part in (X[:, :1], X[:, 1:2], X[:, 2:])]
    at, usual, width = np.array([0.3, -0.2, 0.5, 0.1, -2.0]), np.zeros(5), np.ones(5)
    error = check_grad(
        lambda p: _surprise(p, squares, z, usual, width)[0], lambda p: _surprise(p, squares, z, usual, width)[1], at
    )
    assert error < 1e-4


# --- the warp ---


def skewed(count: int, seed: int) -> Floats:
    """As accuracies are: most are close to the best, a few at chance."""
    return np.maximum(10.0, 94 - np.exp(1.5 * rng_of(seed).normal(size=count) + 1))


def test_a_warp_rises_and_is_undone_by_its_inverse() -> None:
    y = skewed(200, 0)
    warp = Warp.fit(y)
    wide = np.linspace(y.min() - 5, y.max() + 0.5, 1000)
    assert (np.diff(warp.forward(wide)) > 0).all()
    assert warp.back(warp.forward(y)) == pytest.approx(y)
    assert abs(warp.forward(y).mean()) < 0.1
    assert abs(warp.forward(y).std() - 1) < 0.1


def test_moments_are_those_of_what_is_drawn() -> None:
    warp, mean, deviation = Warp.fit(skewed(200, 0)), np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.3, 0.8])
    drawn = warp.back(mean + deviation * rng_of(0).normal(size=(200_000, 3)))
    means, deviations = warp.moments(mean, deviation)
    assert means == pytest.approx(drawn.mean(axis=0), abs=0.05 * drawn.std())
    assert deviations == pytest.approx(drawn.std(axis=0), rel=0.1)


# --- the whole ---


def accuracies(count: int, seed: int) -> tuple[Floats, Floats]:
    X, z = wavy(count, seed, noise=0.2)
    return X, 94 - np.exp(1.5 - z)


@pytest.mark.parametrize("model", MODELS)
def test_nine_of_ten_unseen_targets_lie_in_ninety_percent_intervals(model: str) -> None:
    found = []
    for seed in range(20 if model == "gp" else 3):
        predictor = Predictor.fit(*accuracies(80, seed), GROUPS, model=model)
        X, y = accuracies(500, 100 + seed)
        found.append(((predictor.quantile(X, 0.05) <= y) & (y <= predictor.quantile(X, 0.95))).mean())
    assert 0.87 <= np.mean(found) <= 0.95


@pytest.mark.parametrize("model", MODELS)
def test_the_error_on_what_is_held_out_is_that_on_what_was_never_seen(model: str) -> None:
    X, y = accuracies(150, 0)
    predictor = Predictor.fit(X, y, GROUPS, model=model)
    other, wanted = accuracies(1000, 1)
    unseen = np.sqrt(np.mean((predictor.latent(other)[0] - predictor.warp.forward(wanted)) ** 2))
    assert predictor.error == pytest.approx(unseen, rel=0.25)
    assert predictor.error < 0.8


def test_the_model_that_fits_best_is_chosen() -> None:
    """A straight line, and then corners that no line has."""
    rng = rng_of(0)
    X = rng.normal(size=(120, 6))
    line = X @ np.arange(6) + 0.5 * rng.normal(size=120)
    corners = np.sign(X[:, 0]) * np.sign(X[:, 1]) + np.sign(X[:, 2]) + 0.05 * rng.normal(size=120)
    assert choose(X, line, models=("ridge", "boosting"))[0].name == "ridge"
    assert choose(X, corners, models=("ridge", "boosting"))[0].name != "ridge"


def test_an_unknown_model_is_refused_with_a_near_one() -> None:
    with pytest.raises(ConfigError, match="unknown model `forrest`"):
        Predictor.fit(*accuracies(20, 0), model="forrest")


def test_a_heavy_tail_does_not_spoil_the_ranks() -> None:
    X, y = accuracies(100, 0)
    y[:8] = 10.0
    other, wanted = accuracies(500, 1)
    mean, std = Predictor.fit(X, y, GROUPS).predict(other)
    ranks = [np.argsort(np.argsort(values)) for values in (mean, wanted)]
    assert np.corrcoef(*ranks)[0, 1] > 0.8
    assert (std > 0).all()


def test_five_targets_are_enough_to_begin_with() -> None:
    X, y = accuracies(5, 0)
    mean, std = Predictor.fit(X, y, GROUPS).predict(X)
    assert np.isfinite([mean, std]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:4], y[:4]), "4 targets are given. It takes 5"),
        (lambda X, y: (X, np.full_like(y, 10.0)), "all 20 targets are 10"),
        (
            lambda X, y: (X, np.where(np.arange(20) < 2, np.nan, y)),
            "2 targets and the features of 0 rows",
        ),
        (lambda X, y: (np.where(X > 1.5, np.inf, X), y), "0 targets and the features of 8 rows"),
        (lambda X, y: (X[:, 0], y), r"features of shape \(20,\)"),
        (lambda X, y: (X, y[:5]), r"targets of shape \(5,\)"),
    ],
    ids=["few", "constant", "NaN target", "infinite feature", "one axis", "rows"],
)
def test_what_cannot_be_learned_from_is_refused(change: Any, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        Predictor.fit(*change(*accuracies(20, 0)))


def test_features_of_another_width_are_refused() -> None:
    predictor = Predictor.fit(*accuracies(20, 0))
    with pytest.raises(PredictionError, match="fitted to 5 columns"):
        predictor.predict(np.zeros((3, 4)))


def test_constant_columns_do_no_harm() -> None:
    X, y = accuracies(60, 0)
    constant = np.column_stack([X, np.full(60, 1e9)])
    one = Predictor.fit(X, y, GROUPS).predict(X)[0]
    other = Predictor.fit(constant, y, [*GROUPS, 3]).predict(constant)[0]
    assert other == pytest.approx(one, rel=1e-3)


def test_a_measurement_that_is_copied_is_no_evidence() -> None:
    X, y = accuracies(40, 0)
    once, often = Predictor.fit(X, y, GROUPS), Predictor.fit(np.tile(X, (5, 1)), np.tile(y, 5), GROUPS)
    for told, again in zip(once.predict(X), often.predict(X), strict=True):
        assert again == pytest.approx(told)
