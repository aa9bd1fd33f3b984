"""A training-free score in place of an accuracy."""

from __future__ import annotations

from hwnas.accuracy.source import AccuracyContext
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, check_holds, training_free_scorer


def zero_cost_accuracy(ingredients: AccuracyContext) -> TrainingFree:
    """Return the score that the experiment names; it looks at training images where there are some, else at noise.

    Raises:
        ConfigError: its definition does not hold for the space's networks.
    """
    scorer = training_free_scorer(
        ingredients.settings.source,
        ingredients.lower,
        ingredients.dataset() if ingredients.has_data else None,
        seed=ingredients.seed,
        device=ingredients.device(),
        space=ingredients.space,
    )
    check_holds(scorer, (ingredients.space.smallest(), ingredients.space.largest()))
    return scorer
