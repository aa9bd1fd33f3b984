"""Single-path uniform sampling (SPOS, Guo et al. 2020)."""

from __future__ import annotations

import random

from hwnas.space import AnySpace
from hwnas.supernet.strategies.sampled_subnet import SampledSubnet, Step, Strategy
from hwnas.supernet.training.recipe import Recipe


def single_path(space: AnySpace, recipe: Recipe) -> Strategy:
    """One network a step, drawn as the space draws: uniformly over its architectures. It learns from the labels."""

    def lessons(step: Step, rng: random.Random) -> list[SampledSubnet]:
        return [SampledSubnet(space.random(rng))]

    return lessons
