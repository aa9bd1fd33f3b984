"""Epochs in which choices of a space open: by the kind of their change, or as the recipe lists them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain, pairwise
from typing import Literal

import torch

from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import Network, lower
from hwnas.ops import Operator
from hwnas.ops.operator import new_module
from hwnas.space import AnySpace, Architecture, Choice, Space, Value
from hwnas.supernet.training.recipe import Recipe

Kind = Literal["kernel", "depth", "width"]
PHASES: tuple[Kind, ...] = ("kernel", "depth", "width")
"""In the order in which they open, once-for-all's. `kernel` is all that is neither depth nor width: resolutions and
operators as well."""
SEARCHED_ARCHITECTURES = 200
"""Random architectures that are searched for a function's choice that the largest one does not decide."""


@dataclass(frozen=True)
class Phase:
    """The choices that are open from an epoch on."""

    epoch: int
    choices: tuple[str, ...]


def phases_of(space: AnySpace, recipe: Recipe) -> tuple[Phase, ...]:
    """Return the phases in which the choices of a space open.

    `recipe.phases` lists, phase by phase, patterns of names (`*.kernel`); choices that no pattern matches are open
    from the start. Without it, the choices are grouped by `kind_of`. `recipe.phase_epochs` holds the first epoch of
    each phase; without it they share the epochs after `warmup_largest_epochs` equally.

    Raises:
        ConfigError: a pattern matches no choice, or the epochs do not fit the phases.
    """
    if recipe.phases:
        groups = _listed(space, recipe.phases)
    else:
        kinds = {choice.name: kind_of(space, choice) for choice in space.choices}
        by_kind = (tuple(name for name, kind in kinds.items() if kind == wanted) for wanted in PHASES)
        groups = [names for names in by_kind if names]
    epochs = recipe.phase_epochs or _shared(recipe, len(groups))
    if len(epochs) != len(groups) or any(a >= b for a, b in pairwise(epochs)) or not _within(epochs, recipe):
        raise ConfigError(
            f"`phase_epochs` is {list(epochs)} for {len(groups)} phases in {recipe.epochs} epochs",
            where="train: strategy progressive",
            allowed="Each phase has the epoch at which it begins, from 1 to the last, in rising order; "
            "left out, the epochs after `warmup_largest_epochs` are shared equally",
            do="Correct `train.phase_epochs`, or train longer",
        )
    return tuple(map(Phase, epochs, groups))


def kind_of(space: AnySpace, choice: Choice) -> Kind:
    """Return the kind of change from the first to the last option of a choice, in a network that decides it.

    Another number of slots: depth. Other leading axes of a parameter: width, such as channels, expansions and heads.
    """
    within = _deciding(space, choice)
    if within is None:
        return "kernel"
    picks = dict(within.picks)

    def with_option(option: Value) -> Network:
        return lower(
            space, space.sample(lambda c: option if c.name == choice.name else picks.get(c.name, c.options[-1]))
        )

    first, last = with_option(choice.options[0]), with_option(choice.options[-1])
    if first.input_shape != last.input_shape:
        return "kernel"
    if first.slots != last.slots:
        return "depth"
    pairs = zip(first.operators, last.operators, strict=True)
    return "width" if any(_widths(a) != _widths(b) for a, b in pairs if a != b and type(a) is type(b)) else "kernel"


@lru_cache(maxsize=4096)
def _widths(operator: Operator) -> dict[str, tuple[int, ...]]:
    """Return the leading axes of an operator's parameters, those that list channels."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return {name: tuple(value.shape[:2]) for name, value in new_module(operator).named_parameters()}


def _deciding(space: AnySpace, choice: Choice) -> Architecture | None:
    """Return an architecture that decides the choice, as large as possible; None if there was none."""
    needs = space.conditions.get(choice.name, {}) if isinstance(space, Space) else {}
    largest = space.sample(lambda c: needs[c.name][-1] if c.name in needs else c.options[-1])
    drawn = (space.random(random.Random(seed)) for seed in range(SEARCHED_ARCHITECTURES))
    return next(
        (architecture for architecture in chain([largest], drawn) if choice.name in dict(architecture.picks)), None
    )


def _listed(space: AnySpace, phases: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    names = every = [choice.name for choice in space.choices]
    groups = []
    for patterns in phases:
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise ConfigError(
                    f"`{pattern}` matches no choice of space `{space.name}`",
                    where="train: phases",
                    allowed=did_you_mean(pattern, every),
                    do="Correct the pattern, such as `*.kernel`",
                )
        groups.append(tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)))
        names = [name for name in names if name not in groups[-1]]
    return groups


def _shared(recipe: Recipe, count: int) -> tuple[int, ...]:
    left = recipe.epochs - recipe.warmup_largest_epochs
    return tuple(recipe.warmup_largest_epochs + 1 + index * left // count for index in range(count))


def _within(epochs: Sequence[int], recipe: Recipe) -> bool:
    return all(1 <= epoch <= recipe.epochs for epoch in epochs)
