"""Samplers by name. Each is made afresh for every trial, so nothing that decides a proposal lives outside the study."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.registry import Family, member, no_function

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from hwnas.search.surrogate import Acquisition

SAMPLERS = Family(
    "samplers",
    {  # name in YAML -> its factory, which takes of `seed`, `population` and `guide` those that it declares
        "guided": "hwnas.search.samplers:guided",
        "nsga2": "hwnas.search.samplers:nsga2",
        "nsga3": "hwnas.search.samplers:nsga3",
        "tpe": "hwnas.search.samplers:tpe",
        "gp": "hwnas.search.samplers:gp",
        "random": "hwnas.search.samplers:random",
    },
    no_function,
)


def make_sampler(name: str, seed: int, population: int, guide: Acquisition | None = None) -> BaseSampler:
    """Make a sampler without any history, of those of the arguments that its factory declares.

    Raises:
        ConfigError: unknown name, a population under two, or a factory that needs something else.
    """
    if population < 2:
        raise ConfigError(
            f"a population of {population} cannot be crossed",
            where="search: population",
            allowed="A population is 2 or more",
            do="Use 20 to 50",
        )
    factory = member(SAMPLERS, name, what="sampler", where="search: sampler")
    arguments = {"seed": seed, "population": population, "guide": guide}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls NSGA-III experimental at every turn
        sampler: BaseSampler = factory(**{key: arguments[key] for key in _declared(name, factory)})
    return sampler


def needs_guide(name: str) -> bool:
    """Return whether a sampler is made of what is known of networks beforehand: its factory declares `guide`.

    Raises:
        ConfigError: unknown name, or a factory that needs what no sampler is given.
    """
    return "guide" in _declared(name, member(SAMPLERS, name, what="sampler", where="search: sampler"))


def _declared(name: str, factory: Callable[..., BaseSampler]) -> list[str]:
    """Return the arguments that a factory takes, by their names."""
    known = ("seed", "population", "guide")
    parameters = inspect.signature(factory).parameters.values()
    if unknown := [one.name for one in parameters if one.name not in known and one.default is one.empty]:
        raise ConfigError(
            f"the sampler `{name}` needs `{unknown[0]}`",
            where="search: sampler",
            allowed=f"A factory of samplers takes any of {', '.join(known)}",
            do="Correct the factory, or use another sampler",
        )
    return [one.name for one in parameters if one.name in known]


def random(seed: int) -> BaseSampler:
    """Make a sampler that is uniform over the architectures of the space."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def nsga2(seed: int, population: int) -> BaseSampler:
    """Make a genetic algorithm that keeps what is not dominated and what is far from its neighbours."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=population)


def nsga3(seed: int, population: int) -> BaseSampler:
    """Make a sampler like nsga2, kept apart by reference directions; for three objectives and more."""
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(seed=seed, population_size=population, dividing_parameter=min(population - 1, 24))


def tpe(seed: int) -> BaseSampler:
    """Make a sampler of densities of good and other architectures, all choices together."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True)


def gp(seed: int) -> BaseSampler:
    """Make a Gaussian process sampler; it imports torch and takes about 1 s a proposal, for scores of minutes."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, warn_independent_sampling=False)


def guided(seed: int, guide: Acquisition | None) -> BaseSampler:
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
