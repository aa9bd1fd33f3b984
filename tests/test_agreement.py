"""How far predictions agree with measurements, against values worked out by hand and scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hwnas.latency.agreement import PredictionQuality


def test_errors_are_relative_to_what_was_measured() -> None:
    found = PredictionQuality.of([1.1, 1.8, 4.0, 5.0], [1.0, 2.0, 4.0, 10.0])
    assert found.networks == 4
    assert found.mape == pytest.approx((0.1 + 0.1 + 0 + 0.5) / 4)
    assert found.bias == pytest.approx((0.1 - 0.1 + 0 - 0.5) / 4)
    assert found.worst == pytest.approx(0.5)
    assert (found.within_5, found.within_10) == (0.25, 0.75)
    assert found.nine_in_ten == pytest.approx(0.1 + 0.7 * 0.4)  # between the third and the fourth of four
    assert (found.spearman, found.kendall) == (1, 1)
    assert found.coverage_90 is None


@pytest.mark.parametrize(("factor", "within_5", "within_10"), [(1.05, 1, 1), (0.95, 1, 1), (1.1, 0, 1), (1.11, 0, 0)])
def test_an_error_on_the_bound_is_within_it(factor: float, within_5: float, within_10: float) -> None:
    measured = np.random.default_rng(0).uniform(0.01, 30, 200)
    found = PredictionQuality.of(factor * measured, measured)
    assert (found.within_5, found.within_10) == (within_5, within_10)
    assert found.mape == pytest.approx(abs(factor - 1))


def test_a_perfect_prediction() -> None:
    measured = [0.3, 0.1, 0.2]
    found = PredictionQuality.of(measured, measured, low=measured, high=measured)
    assert found == PredictionQuality(3, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_intervals_hold_with_their_ends() -> None:
    found = PredictionQuality.of([2, 2, 2, 2], [1, 3, 0.9, 3.1], low=[1] * 4, high=[3] * 4)
    assert found.coverage_90 == 0.5


def test_ranks_with_ties() -> None:
    predicted, measured = [1, 2, 2, 4, 3], [1, 3, 2, 4, 4]
    found = PredictionQuality.of(predicted, measured)
    # of ten pairs eight agree, one is tied in each column; tau-b divides by sqrt(9 * 9)
    assert found.kendall == pytest.approx(8 / 9)
    ranks = np.corrcoef([1, 2.5, 2.5, 5, 4], [1, 3, 2, 4.5, 4.5])[0, 1]
    assert found.spearman == pytest.approx(ranks)


def test_ranks_are_scipys() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        predicted, measured = rng.integers(1, 9, size=(2, 12)).astype(float)
        found = PredictionQuality.of(predicted, measured)
        assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)
        assert found.kendall == pytest.approx(stats.kendalltau(predicted, measured).statistic)


@pytest.mark.parametrize(("predicted", "measured"), [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1], [1])])
def test_equal_values_have_no_ranks(predicted: list[float], measured: list[float]) -> None:
    found = PredictionQuality.of(predicted, measured)
    assert (found.spearman, found.kendall) == (None, None)
    assert math.isfinite(found.mape)


@pytest.mark.parametrize(
    ("predicted", "measured", "words"),
    [
        ([], [], "at least one"),
        ([1.0], [1.0, 2.0], "one value for each"),
        ([float("nan")], [1.0], "`predicted` holds"),
        ([1.0], [float("inf")], "`measured` holds"),
        ([1.0], [0.0], "above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted: list[float], measured: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PredictionQuality.of(predicted, measured)


def test_an_interval_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="`high` holds"):
        PredictionQuality.of([1.0], [1.0], low=[0.5], high=[float("nan")])
