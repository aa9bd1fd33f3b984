"""The sandwich rule with in-place distillation (Yu and Huang 2019; BigNAS, Yu et al. 2020)."""

from __future__ import annotations

import random

from hwnas.space import AnySpace
from hwnas.supernet.strategies.sampled_subnet import SampledSubnet, Step, Strategy, inplace_distillation
from hwnas.supernet.training.recipe import Recipe


def sandwich(space: AnySpace, recipe: Recipe) -> Strategy:
    """Largest, smallest, then `recipe.num_random_subnets` random architectures; all but the largest learn from it."""
    ends = space.largest(), space.smallest()

    def lessons(step: Step, rng: random.Random) -> list[SampledSubnet]:
        return inplace_distillation([*ends, *(space.random(rng) for _ in range(recipe.num_random_subnets))])

    return lessons
