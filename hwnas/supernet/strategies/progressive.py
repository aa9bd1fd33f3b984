"""Progressive shrinking (once-for-all, Cai et al. 2020): the space widens from its largest network, kind by kind."""

from __future__ import annotations

import random

from hwnas.space import AnySpace, Architecture, Suggest
from hwnas.supernet.strategies.phases import Phase, phases_of
from hwnas.supernet.strategies.sampled_subnet import SampledSubnet, Step, Strategy, inplace_distillation
from hwnas.supernet.training.recipe import Recipe


def progressive(space: AnySpace, recipe: Recipe) -> Strategy:
    """Sandwiches of a space that widens: kernels, then depths, then expansions and widths.

    A choice that is not open yet stays at its last option. `phases_of` says which choices open when.
    """
    phases = phases_of(space, recipe)

    def lessons(step: Step, rng: random.Random) -> list[SampledSubnet]:
        closed = closed_at(phases, step.epoch)
        smallest = narrowed(space, closed, lambda choice: choice.options[0])
        middles = [narrowed(space, closed, lambda choice: choice.draw(rng)) for _ in range(recipe.num_random_subnets)]
        return inplace_distillation([space.largest(), smallest, *middles])

    return lessons


def closed_at(phases: tuple[Phase, ...], epoch: int) -> frozenset[str]:
    """Return the choices that are not open yet in an epoch."""
    return frozenset(name for phase in phases if phase.epoch > epoch for name in phase.choices)


def narrowed(space: AnySpace, closed: frozenset[str], decide: Suggest) -> Architecture:
    """Return an architecture whose open choices are decided by `decide`, all others by their last option."""
    return space.sample(lambda choice: choice.options[-1] if choice.name in closed else decide(choice))
