"""A gene with fixed effects, as the precision is: what one of its options tells of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas.predictors import Predictor
from hwnas.search.precision.coded import with_precisions
from hwnas.search.surrogate import Acquisition, grid
from hwnas.search.surrogate.acquisition import Observations
from hwnas.search.surrogate.fixed_effects import effects_of, learned_effects, variants
from hwnas.search.surrogate.online_gp import OnlineGP

PRECISIONS = ("fp32", "int8")


def accuracy(codes: Any) -> Any:
    """Of networks in fp32."""
    return np.tanh(codes[:, :-1] @ (1 + np.arange(codes.shape[1] - 1) % 3) / (4 * codes.shape[1]))


def latency(codes: Any) -> Any:
    """A third less in int8, whatever the network."""
    return (1 + codes[:, :-1].sum(axis=1)) * np.where(codes[:, -1] == 1, 2 / 3, 1.0)


def candidates_of(places: int) -> Any:
    """Networks of four options at each place, in two precisions."""
    return with_precisions(grid({f"c{number}": (0, 1, 2, 3) for number in range(places)}), PRECISIONS)


def evaluated(places: int, trials: int, loss: float = 0.0, *, before: int = 0) -> np.ndarray[Any, Any]:
    """Codes of trials that a guide proposes, networks in int8 being less accurate by `loss`; those after `before`."""
    candidates = candidates_of(places)
    guide, tried = Acquisition(candidates, [latency]), np.empty((0, places + 1), np.intp)
    for number in range(trials):
        targets = loss * tried[:, -1] - accuracy(tried)
        observed = Observations(tried, targets, np.ones(len(tried), dtype=np.bool_))
        proposed = guide.propose(observed, tried[:0], (0, number))
        assert proposed is not None
        tried = np.concatenate([tried, proposed[None]])
    assert len(np.unique(tried, axis=0)) == trials
    return tried[before:]


def test_features_know_no_precision_and_variants_know_both() -> None:
    candidates = candidates_of(3)
    codes = candidates.settle(candidates.draw(20, np.random.default_rng(0)))
    fp32, int8 = variants(candidates, codes)
    assert np.array_equal(candidates.features(fp32), candidates.features(int8))
    assert (fp32[:, -1] == 0).all()
    assert (int8[:, -1] == 1).all()
    assert np.array_equal(effects_of(candidates, codes, np.array([0.0, 2.0])), 2.0 * codes[:, -1])
    assert len(variants(grid({"a": (0, 1)}), np.zeros((1, 1), np.intp))) == 1


@pytest.mark.parametrize("shift", [0.0, -0.4, 0.3])
def test_the_shift_of_a_precision_is_learned_from_unlike_networks(shift: float) -> None:
    candidates, rng = candidates_of(6), np.random.default_rng(1)
    codes = np.unique(candidates.settle(candidates.draw(80, rng)), axis=0)
    features = candidates.features(codes)
    spread = accuracy(codes).std()
    belief = OnlineGP(Predictor.fit(features, accuracy(codes) + shift * spread * codes[:, -1], candidates.groups))
    values = belief.warp.forward(accuracy(codes) + shift * spread * codes[:, -1])
    learned = learned_effects(candidates, belief.process, codes, belief.place(features), values)
    assert learned[1] - learned[0] == pytest.approx(shift, abs=0.12)


@pytest.mark.parametrize("places", [4, 12])  # looked at whole, and searched by evolution
def test_of_equal_accuracies_the_faster_precision_is_proposed(places: int) -> None:
    assert (evaluated(places, 24, before=12)[:, -1] == 1).mean() > 0.8


def test_a_precision_that_loses_much_is_not_proposed_where_accuracy_is_wanted() -> None:
    late = evaluated(4, 40, loss=0.5, before=20)
    assert (late[:, -1] == 0).mean() > 0.5
