"""Strategies: the networks of a space that a training step trains, and what they learn from. One file each."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError
from hwnas.registry import Family, member, no_function
from hwnas.space import AnySpace
from hwnas.supernet.strategies.sampled_subnet import SampledSubnet, Step, Strategy
from hwnas.supernet.training.recipe import Recipe
from hwnas.user_code import calling, named

STRATEGIES = Family(
    "strategies",
    {
        "sandwich": "hwnas.supernet.strategies.sandwich:sandwich",
        "single_path": "hwnas.supernet.strategies.single_path:single_path",
        "fair": "hwnas.supernet.strategies.fair:fair",
        "progressive": "hwnas.supernet.strategies.progressive:progressive",
    },
    no_function,
)

FORM = (
    "`function(space, recipe)` returns a function `(step, rng)`, and that a list of one or more `SampledSubnet`s, "
    "which learn from the labels or from an earlier one"
)

__all__ = ["STRATEGIES", "SampledSubnet", "Step", "Strategy", "open_strategy"]


def open_strategy(space: AnySpace, recipe: Recipe, *, base: Path = Path()) -> Strategy:
    """Return the recipe's strategy on a space: one of `STRATEGIES`, or a user's `file.py:function`, paths from `base`.

    A user's function is called as the built-in ones are, `function(space, recipe)`, and returns a `Strategy`. In the
    first `recipe.warmup_largest_epochs` epochs the largest network is trained alone, whatever the strategy.

    Raises:
        ConfigError: an unknown strategy, one that does not fit the space, or a function that returns something else.
    """
    own = recipe.strategy not in STRATEGIES.own
    if ":" in recipe.strategy:
        make = named(recipe.strategy, base=base, where="train: strategy")
    else:
        make = member(STRATEGIES, recipe.strategy, what="strategy", where="train: strategy")
    with _calling(make, recipe, {"space": space.name}):
        strategy = make(space, recipe)
    if not callable(strategy):
        raise _unfit(recipe, f"it gave {type(strategy).__name__}, which cannot be called")
    largest = [SampledSubnet(space.largest())]

    def lessons(step: Step, rng: random.Random) -> list[SampledSubnet]:
        if step.epoch <= recipe.warmup_largest_epochs:
            return largest
        with _calling(strategy, recipe, vars(step)):
            drawn = strategy(step, rng)
        return _checked(drawn, recipe) if own else list(drawn)

    return lessons


def _calling(function: Any, recipe: Recipe, options: Mapping[str, Any]) -> AbstractContextManager[None]:
    where = "train: strategy"
    return calling(function, ConfigError, where=where, name=recipe.strategy, options=options, allowed=FORM)


def _checked(result: Any, recipe: Recipe) -> list[SampledSubnet]:
    """Return the lessons of a user's strategy, if a step can be made of them."""
    lessons = list(result) if isinstance(result, list | tuple) else []
    if not lessons or not all(isinstance(lesson, SampledSubnet) for lesson in lessons):
        raise _unfit(recipe, f"it said {str(result)[:80]!r} for a step")
    for index, lesson in enumerate(lessons):
        if lesson.teacher is not None and not 0 <= lesson.teacher < index:
            raise _unfit(recipe, f"lesson {index} learns from lesson {lesson.teacher}")
    return lessons


def _unfit(recipe: Recipe, met: str) -> ConfigError:
    return ConfigError(
        met,
        where=f"train: strategy {recipe.strategy}",
        allowed=FORM,
        do="Correct the function",
    )
