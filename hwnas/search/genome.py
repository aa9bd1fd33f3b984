"""Proposing architectures: the genome that samplers work on, and the way from a genome to something new."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler

from hwnas.space import Architecture, Choice, Suggest, Value

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial

REPEATS = 500
"""Known architectures in a row that end the search: nothing new is in reach."""
SAMPLED_TRIES = 10
"""Number of them that come from the sampler; from then on the last one is changed, more with every try."""


class SearchSpace(Protocol):
    """Interface of the spaces that studies propose from: all spaces, and those that add genes to one."""

    @property
    def name(self) -> str: ...

    @property
    def choices(self) -> tuple[Choice, ...]: ...

    @property
    def count(self) -> int: ...

    def sample(self, suggest: Suggest) -> Architecture: ...

    def random(self, rng: random.Random) -> Architecture: ...


class SpaceExhausted(Exception):
    """There is nothing new to try; the text says why."""


@final
class Genome:
    """A value for every choice of a space, active or not, so that crossover and densities see one fixed set of genes.

    Optuna's samplers leave a parameter that some trials lack to chance; with a genome there is none. The space reads
    the active genes only: genomes that differ in others are the same architecture.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The choices as Optuna's distributions, by name."""
        return {choice.name: CategoricalDistribution(choice.options) for choice in self.space.choices}

    def decode(self, genes: Mapping[str, Value]) -> Architecture:
        """Return the architecture of a genome. A choice too rare to be among the genes is decided by a hash."""
        rest = random.Random(repr(sorted(genes.items())))

        def pick(choice: Choice) -> Value:
            return genes[choice.name] if choice.name in genes else rest.choice(choice.options)

        return self.space.sample(pick)

    def encode(self, architecture: Architecture, rng: random.Random) -> dict[str, Value]:
        """Return a genome of the architecture; inactive genes are drawn."""
        return self.draw(rng) | {name: v for name, v in architecture.picks if name in self.distributions}

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """Draw a genome, each gene uniform."""
        return {choice.name: rng.choice(choice.options) for choice in self.space.choices}


@final
class Proposer(BaseSampler):
    """Wrapper of a sampler for one trial: proposals that the study knows are passed over.

    Where the sampler is silent (before it has seen enough, and for a gene that is to mutate) the draw is uniform: over
    architectures for a whole genome, over options for a gene.
    """

    def __init__(
        self,
        genome: Genome,
        sampler: BaseSampler,
        rng: random.Random,
        known: Callable[[str], bool],
        first: Architecture | None = None,
    ) -> None:
        self._genome, self._sampler, self._rng, self._known, self._first = genome, sampler, rng, known, first

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all genes, from the first trial on."""
        return self._genome.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a genome whose architecture is new to the study.

        Raises:
            SpaceExhausted: after `REPEATS` known ones.
        """
        genes = self._sampled(study, trial, search_space)
        if self._first is not None and not self._known(self._first.key):
            return self._genome.encode(self._first, self._rng)
        for attempt in range(1, REPEATS + 1):
            if not self._known(self._genome.decode(genes).key):
                return genes
            genes = (
                self._sampled(study, trial, search_space) if attempt < SAMPLED_TRIES else self._changed(genes, attempt)
            )
        raise SpaceExhausted(f"{REPEATS} proposals in a row were known")

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Raise AssertionError: Optuna never calls it, for `sample_relative` decides all genes."""
        raise AssertionError(f"`{param_name}` is no gene of space `{self._genome.space.name}`")

    def _sampled(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Value]:
        proposed = self._sampler.sample_relative(study, trial, search_space)
        if not proposed:
            return self._genome.encode(self._genome.space.random(self._rng), self._rng)
        return self._genome.draw(self._rng) | proposed

    def _changed(self, genes: Mapping[str, Value], attempt: int) -> dict[str, Value]:
        names: Sequence[str] = list(genes)
        redrawn = self._genome.draw(self._rng)
        some = self._rng.sample(names, 1 + (len(names) - 1) * attempt // REPEATS)
        return {**genes, **{name: redrawn[name] for name in some}}


def trial_seed(seed: int, number: int) -> int:
    """Return a seed for one trial, unlike that of its neighbours and of other searches."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
