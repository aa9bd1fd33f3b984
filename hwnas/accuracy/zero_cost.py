"""A sum of ranks over training-free scores in place of an accuracy."""

from __future__ import annotations

import random

from hwnas.accuracy.source import AccuracyContext
from hwnas.accuracy.zero_cost_proxies.ensemble_scorer import EnsembleScorer, ensemble_scorer
from hwnas.accuracy.zero_cost_proxies.scorer import check_holds

REFERENCE_NETWORKS = 100
"""Number of random networks of the space that each network is ranked among."""


def ranked(ingredients: AccuracyContext) -> EnsembleScorer:
    """Return the ensemble that the experiment names; its members look at training images where there are some."""
    rng = random.Random(f"reference {ingredients.seed}")
    scorer = ensemble_scorer(
        ingredients.settings.source,
        ingredients.lower,
        ingredients.dataset() if ingredients.has_data else None,
        [ingredients.space.random(rng) for _ in range(REFERENCE_NETWORKS)],
        seed=ingredients.seed,
        device=ingredients.device(),
    )
    for member in scorer.members:
        check_holds(member, (ingredients.space.smallest(), ingredients.space.largest()))
    return scorer
