"""Strict fairness (FairNAS, Chu et al. 2021): in each step every option of every choice is trained equally often."""

from __future__ import annotations

import random

from hwnas.errors import ConfigError
from hwnas.space import AnySpace, Architecture, Choice, Value
from hwnas.supernet.strategies.sampled_subnet import SampledSubnet, Step, Strategy
from hwnas.supernet.training.recipe import Recipe

MAX_NETWORKS_PER_STEP = 64
"""Networks in a step; a space that needs more of them is refused."""


def fair(space: AnySpace, recipe: Recipe) -> Strategy:
    """Networks that together hold all options equally often, in one optimizer step; each learns from the labels.

    Every choice has a deck of its options, shuffled by itself, and each network takes the next card. A step is over
    when all decks are used up at once. With n options everywhere that takes n networks, as in FairNAS; where choices
    have unlike numbers of options, or are active in some networks only, it takes a common multiple.

    Raises:
        ConfigError: that multiple is above `MAX_NETWORKS_PER_STEP`.
    """
    fair_step(space, random.Random(0))  # the number of networks does not hang on chance

    def lessons(step: Step, rng: random.Random) -> list[SampledSubnet]:
        return [SampledSubnet(architecture) for architecture in fair_step(space, rng)]

    return lessons


def fair_step(space: AnySpace, rng: random.Random) -> list[Architecture]:
    """Return the fewest architectures, drawn at random, in which the options of each choice occur equally often."""
    decks: dict[str, list[Value]] = {}
    sizes: dict[str, int] = {}

    def deal(choice: Choice) -> Value:
        if not decks.get(choice.name):
            decks[choice.name] = rng.sample(choice.options, len(choice.options))
            sizes[choice.name] = len(choice.options)
        return decks[choice.name].pop()

    drawn = [space.sample(deal)]
    while any(decks.values()):
        if len(drawn) == MAX_NETWORKS_PER_STEP:
            raise _too_many(space, sizes)
        drawn.append(space.sample(deal))
    return drawn


def _too_many(space: AnySpace, sizes: dict[str, int]) -> ConfigError:
    name, most = max(sizes.items(), key=lambda item: item[1])
    return ConfigError(
        f"no {MAX_NETWORKS_PER_STEP} networks or fewer hold every option of every choice of space `{space.name}` "
        "equally often",
        where="train: strategy fair",
        allowed=f"The numbers of options have a small common multiple; `{name}` has {most} options",
        do="Use `single_path`, which is fair on average, or `sandwich`",
    )
