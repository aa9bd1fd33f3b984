"""Sums of ranks over a population, and over a reference for one more network."""

from __future__ import annotations

import math
import random
from functools import partial

import numpy as np
import pytest

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.ensemble_scorer import MIN_RANKED, ensemble_scorer
from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, EnsembleMember, RankEnsemble
from hwnas.accuracy.zero_cost_proxies.rank_sums import against, rank_sums
from hwnas.errors import ConfigError, NoScore
from hwnas.network import lower
from tests.helpers.spaces import SMALL
from tests.helpers.tiny import tiny

TWO = RankEnsemble((EnsembleMember("params"), EnsembleMember("macs")))


def columns(networks: int, seed: int = 0) -> list[list[float | None]]:
    return np.random.default_rng(seed).integers(0, 9, (2, networks)).astype(float).tolist()


def test_members_are_proxies_and_no_ensemble_bears_the_name_of_one() -> None:
    assert {member.name for ensemble in ENSEMBLES.values() for member in ensemble.members} <= TRAINING_FREE.keys()
    assert not ENSEMBLES.keys() & TRAINING_FREE.keys()


def test_the_logarithms_of_ranks_are_added() -> None:
    found = rank_sums(TWO, [[5, 1, 9], [20, 30, 10]])
    assert found == pytest.approx([2 * math.log(2 / 3), math.log(1 / 3), math.log(1 / 3)])


def test_a_weight_is_as_good_as_naming_a_member_more_than_once() -> None:
    first, second = columns(20)
    weighed = RankEnsemble((EnsembleMember("params", weight=2), EnsembleMember("macs")))
    named = RankEnsemble((EnsembleMember("params"), EnsembleMember("params"), EnsembleMember("macs")))
    assert rank_sums(weighed, [first, second]) == pytest.approx(rank_sums(named, [first, first, second]))
    reference, own = [[1.0, 5.0, 3.0], [2.0, 2.0, 4.0]], [4.0, 1.0]
    assert against(weighed, reference, own) == pytest.approx(against(named, [reference[0], *reference], [own[0], *own]))


def test_equal_networks_are_tied_by_the_mean_of_their_ranks() -> None:
    first, second, third = rank_sums(RankEnsemble(TWO.members, log=False), [[1, 1, 2], [4, 4, 4]])
    assert first == second == pytest.approx((1.5 + 2) / 3)
    assert third == pytest.approx((3 + 2) / 3)


def test_a_permutation_of_the_population_permutes_its_scores() -> None:
    population = columns(20)
    order = np.random.default_rng(1).permutation(20)
    shuffled = rank_sums(TWO, [[column[place] for place in order] for column in population])
    assert shuffled == [rank_sums(TWO, population)[place] for place in order]


def test_only_the_order_of_a_members_scores_matters() -> None:
    population = columns(20)
    assert rank_sums(TWO, [[math.exp(score or 0) for score in column] for column in population]) == rank_sums(
        TWO, population
    )


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_a_network_without_a_score_by_one_member_has_none_and_takes_no_rank(nothing: float | None) -> None:
    whole = rank_sums(TWO, [[1, 2, 3], [6, 5, 4]])
    assert rank_sums(TWO, [[1, nothing, 2, 3], [6, 9, 5, 4]]) == [whole[0], None, whole[1], whole[2]]


def test_members_that_scored_unlike_numbers_of_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 columns of \[2, 3\] scores"):
        rank_sums(TWO, [[1, 2, 3], [1, 2]])


def test_one_more_network_is_ranked_as_if_it_stood_in_the_reference() -> None:
    population = columns(15)
    for place in range(15):
        rest = [[float(score or 0) for i, score in enumerate(column) if i != place] for column in population]
        own = [float(column[place] or 0) for column in population]
        assert against(TWO, rest, own) == pytest.approx(rank_sums(TWO, population)[place])


def test_a_networks_score_does_not_depend_on_what_else_was_scored() -> None:
    space = tiny("digits")
    reference = [space.random(random.Random(seed)) for seed in range(MIN_RANKED + 2)]
    tried = [space.smallest(), space.largest()]
    one, other = (ensemble_scorer("ensemble", partial(lower, space), None, reference, seed=0) for _ in range(2))
    scores = [one(architecture) for architecture in tried]
    assert [other(architecture) for architecture in reversed(tried)] == scores[::-1]
    assert scores[0] < scores[1] <= 0
    assert one.producer == other.producer
    assert one.producer != ensemble_scorer("ensemble", partial(lower, space), None, reference[1:], seed=0).producer


def test_a_reference_that_no_member_can_score_is_no_score_with_the_reason() -> None:
    space = SMALL["transformers"]
    reference = [space.random(random.Random(seed)) for seed in range(60)]
    with pytest.raises(NoScore, match=r"0 of .* networks of the reference have a score by every member"):
        ensemble_scorer("ensemble", partial(lower, space), None, reference, seed=0)(space.largest())


def test_a_reference_of_too_few_and_an_unknown_ensemble_are_refused() -> None:
    space = tiny("digits")
    with pytest.raises(ConfigError, match="holds 1 unlike networks"):
        ensemble_scorer("ensemble", partial(lower, space), None, [space.largest()] * 20, seed=0)
    with pytest.raises(ConfigError, match="Did you mean `az_nas`"):
        ensemble_scorer("aznas", partial(lower, space), None, [], seed=0)
