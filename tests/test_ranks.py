"""Rank correlations with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.ranks import CORRELATIONS, Kind, as_json, correlation, correlations, first_equals


def test_kendall_counts_pairs_in_and_out_of_order() -> None:
    assert correlation("kendall", [1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx((5 - 1) / 6)


def test_a_monotone_map_keeps_ranks_and_bends_the_line() -> None:
    x = np.arange(1.0, 9.0)
    assert correlation("kendall", x, np.exp(x)) == pytest.approx(1)
    assert correlation("spearman", x, np.exp(x)) == pytest.approx(1)
    pearson = correlation("pearson", x, np.exp(x))
    assert pearson is not None
    assert pearson < 0.9


def test_a_constant_column_or_a_single_row_has_no_correlation() -> None:
    assert [correlation(kind, [1, 2, 3], [5, 5, 5]) for kind in CORRELATIONS] == [None] * 3
    assert [correlation(kind, [1], [2]) for kind in CORRELATIONS] == [None] * 3
    assert as_json(correlations([1], [2])) == dict.fromkeys(CORRELATIONS)


def test_unlike_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be correlated"):
        correlation("spearman", [1, 2], [1, 2, 3])


def test_nine_to_ten_of_ten_intervals_hold_the_truth() -> None:
    """A check of the bootstrap itself: two columns that share half of their variance, so Pearson's truth is 0.5."""
    rng, held = np.random.default_rng(3), 0
    for trial in range(40):
        shared = rng.normal(size=60)
        one, other = shared + rng.normal(size=60), shared + rng.normal(size=60)
        found = correlations(one.tolist(), other.tolist(), seed=trial, resamples=120)["pearson"]
        assert found is not None
        assert found.low <= found.value <= found.high
        held += found.low <= 0.5 <= found.high
    assert held >= 34


def test_the_same_seed_gives_the_same_interval() -> None:
    x, y = [1.0, 2, 3, 4, 5, 6], [2.0, 1, 4, 3, 6, 5]
    assert correlations(x, y, seed=1, resamples=50) == correlations(x, y, seed=1, resamples=50)
    assert correlations(x, y, seed=1, resamples=50) != correlations(x, y, seed=2, resamples=50)


@pytest.mark.parametrize("kind", CORRELATIONS)
def test_every_draw_has_the_correlation_of_its_rows(kind: Kind) -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(0, 6, 15).astype(float), rng.integers(0, 6, 15).astype(float)  # few values: ties
    found = correlations(left.tolist(), right.tolist(), seed=4, resamples=200)[kind]
    times = np.random.default_rng(4).multinomial(15, np.full(15, 1 / 15), 200)
    drawn = [correlation(kind, np.repeat(left, row), np.repeat(right, row)) for row in times]
    assert found is not None
    low, high = np.quantile([value for value in drawn if value is not None], [0.025, 0.975])
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_what_is_less_than_two_standard_errors_apart_may_be_equal() -> None:
    error = 0.01  # of a difference: 0.0141
    assert first_equals([0.80, 0.8282, 0.8284], [error] * 3) == [None, 0, 1]
    assert first_equals([0.80, 0.90, 0.81], [error] * 3) == [None, None, 0]
    assert first_equals([0.80, 0.80], [error, None]) == [None, None]
