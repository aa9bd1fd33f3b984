"""Learning-rate schedules: how the rate falls after the warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hwnas.supernet.training.recipe import Recipe

Schedule = Callable[[float, Recipe], float]
"""Share of the peak rate at a point after the warm-up, from 0 to 1."""


def _cosine(done: float, recipe: Recipe) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _linear(done: float, recipe: Recipe) -> float:
    return 1 - done


def _step(done: float, recipe: Recipe) -> float:
    return math.prod(recipe.step_factor for share in recipe.step_at if done >= share)


def _constant(done: float, recipe: Recipe) -> float:
    return 1.0


SCHEDULES: Mapping[str, Schedule] = {"cosine": _cosine, "linear": _linear, "step": _step, "constant": _constant}


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """Return the rate at a point of training, `epoch` counting from 0 in fractions."""
    if epoch < recipe.warm_up_epochs:
        return recipe.learning_rate * (epoch + 1e-2) / (recipe.warm_up_epochs + 1e-2)
    done = (epoch - recipe.warm_up_epochs) / max(recipe.epochs - recipe.warm_up_epochs, 1e-9)
    return recipe.learning_rate * SCHEDULES[recipe.schedule](min(done, 1.0), recipe)
