"""A space as a search sees it that chooses precisions."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hwnas.errors import ConfigError
from hwnas.search.precision.candidate import PRECISION_GENE, candidate_of
from hwnas.space import AnySpace, Architecture, Choice, Suggest


@dataclass(frozen=True)
class PrecisionSpace:
    """Candidates of a space: each of its architectures in each precision.

    Args:
        space: the architectures; a choice of it must not be called `precision`.
        precisions: at least one.
    """

    space: AnySpace
    precisions: tuple[str, ...]

    def __post_init__(self) -> None:
        if any(choice.name == PRECISION_GENE for choice in self.space.choices):
            raise ConfigError(
                f"a choice of the space is called `{PRECISION_GENE}`, and a tier lists precisions",
                where=f"space `{self.space.name}`",
                allowed="The precision is a gene beside the choices of the space",
                do="Rename the choice, or leave the tier's `precision` out",
            )

    @property
    def name(self) -> str:
        """Name of the space."""
        return self.space.name

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Choices of the space, then the precision."""
        return (*self.space.choices, self._precision)

    @property
    def count(self) -> int:
        """Number of candidates."""
        return self.space.count * len(self.precisions)

    def sample(self, suggest: Suggest) -> Architecture:
        """Return the candidate that a function picks."""
        return candidate_of(self.space.sample(suggest), str(suggest(self._precision)))

    def random(self, rng: random.Random) -> Architecture:
        """Draw a candidate."""
        return candidate_of(self.space.random(rng), rng.choice(self.precisions))

    def candidates(self, architecture: Architecture) -> tuple[Architecture, ...]:
        """Return the candidates of an architecture."""
        return tuple(candidate_of(architecture, precision) for precision in self.precisions)

    @property
    def _precision(self) -> Choice:
        return Choice(PRECISION_GENE, self.precisions)
