"""Samplers by name. Each is made afresh for every trial, so nothing that decides a proposal lives outside the study."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.registry import Family, member

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from hwnas.search.surrogate import Acquisition

SAMPLERS = Family(
    "samplers",
    {  # name in YAML -> factory(seed, population, guide)
        "random": "hwnas.search.samplers:random",
        "nsga2": "hwnas.search.samplers:nsga2",
        "nsga3": "hwnas.search.samplers:nsga3",
        "tpe": "hwnas.search.samplers:tpe",
        "gp": "hwnas.search.samplers:gp",
        "guided": "hwnas.search.samplers:guided",
    },
)


def make_sampler(name: str, seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler without any history; `population` matters to nsga2 and nsga3 alone, `guide` to guided.

    Raises:
        ConfigError: unknown name, or a population under two.
    """
    if population < 2:
        raise ConfigError(
            f"a population of {population} cannot be crossed",
            where="search: population",
            allowed="A population is 2 or more",
            do="Use 20 to 50",
        )
    factory = member(SAMPLERS, name, what="sampler", where="search: sampler")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls NSGA-III experimental at every turn
        sampler: BaseSampler = factory(seed, population, guide)
    return sampler


def random(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler that is uniform over the architectures of the space."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def nsga2(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a genetic algorithm that keeps what is not dominated and what is far from its neighbours."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=population)


def nsga3(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler like nsga2, kept apart by reference directions; for three objectives and more."""
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(seed=seed, population_size=population, dividing_parameter=min(population - 1, 24))


def tpe(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler of densities of good and other architectures, all choices together."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True)


def gp(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a Gaussian process sampler; it imports torch and takes about 1 s a proposal, for scores of minutes."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, warn_independent_sampling=False)


def guided(seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler of known costs and a learned accuracy: it proposes what promises the most hypervolume.

    Raises:
        ConfigError: nothing is known of the networks.
    """
    from hwnas.search.genome import SpaceExhausted
    from hwnas.search.surrogate import GuidedSampler

    if guide is None:
        raise ConfigError(
            "nothing is known of the networks beforehand",
            where="search: sampler `guided`",
            allowed="It learns accuracy alone: the other objectives must be predicted, not measured during the search",
            do="Hand the plan a `guide`, or use another sampler",
        )
    return GuidedSampler(seed=seed, guide=guide, exhausted=SpaceExhausted)
