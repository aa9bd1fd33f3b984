"""The best within limits, where a score may be asked of some thousands out of millions of networks."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from hwnas.search.surrogate import best_within, grid

PLACES, OPTIONS = 16, (0, 1, 2, 3)
CANDIDATES = grid({f"c{i}": OPTIONS for i in range(PLACES)})
WORTH = np.random.default_rng(5).normal(size=(PLACES - 1, len(OPTIONS), len(OPTIONS)))


def score(codes: Any) -> Any:
    """What an option is worth hangs on its neighbours, by a table at random."""
    return WORTH[np.arange(PLACES - 1), codes[:, :-1], codes[:, 1:]].sum(axis=1)


def excess(codes: Any) -> Any:
    return codes.sum(axis=1) / 20 - 1


def free(codes: Any) -> Any:
    return np.zeros(len(codes))


def found(calls: int, seed: int = 0, over: Any = excess) -> tuple[Any, Any]:
    return best_within(CANDIDATES, score, over, calls, np.random.default_rng(seed))


def test_no_network_is_scored_twice_or_over_a_limit_and_all_calls_are_used() -> None:
    asked: list[bytes] = []

    def noting(codes: Any) -> Any:
        assert (excess(codes) <= 0).all()
        asked.extend(map(bytes, codes))
        return score(codes)

    codes, scores = best_within(CANDIDATES, noting, excess, 700, np.random.default_rng(0))
    assert len(asked) == len(set(asked)) == 700
    assert np.array_equal(scores, score(codes))
    assert (np.diff(scores) <= 0).all()


def test_the_best_chain_of_four_thousand_millions_is_found_by_a_thousand_calls() -> None:
    best = np.zeros(len(OPTIONS))
    for table in WORTH:  # the best chain that ends in each option
        best = (best[:, None] + table).max(axis=0)
    assert np.isclose(found(1000, over=free)[1][0], best.max())


def test_it_finds_more_than_ten_times_as_many_random_networks() -> None:
    drawn = CANDIDATES.draw(40_000, np.random.default_rng(0))
    within = drawn[excess(drawn) <= 0][:5000]
    assert len(within) == 5000
    assert found(500)[1][0] > score(within).max()


def test_equal_generators_find_equal_networks() -> None:
    first, second, other = found(400), found(400), found(400, seed=1)
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])


def test_a_limit_that_no_random_network_holds_is_walked_towards() -> None:
    codes, _ = found(50, over=lambda codes: codes.sum(axis=1) - 3.0)
    assert len(codes) == 50
    assert codes.sum(axis=1).max() <= 3


def test_nothing_is_found_where_nothing_is_within() -> None:
    codes, scores = found(50, over=lambda codes: codes.sum(axis=1) + 1.0)
    assert codes.shape == (0, PLACES)
    assert not len(scores)


def test_a_small_space_is_scored_to_its_end() -> None:
    small = grid({f"c{i}": OPTIONS for i in range(4)})
    codes, _ = best_within(small, lambda c: c.sum(axis=1) * 1.0, free, 1000, np.random.default_rng(0))
    assert len(codes) > 250
    assert codes[0].tolist() == [3, 3, 3, 3]
    assert set(map(tuple, codes.tolist())) <= set(product(range(4), repeat=4))
