"""The codebook of a space that is a function: what it returns is known by calling it, once for each architecture."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from hwnas.network import lower, operators_of
from hwnas.population.codebook import EMPTY_SLOT, Codebook, Codes, Ints, Link
from hwnas.space import Architecture, Choice, FunctionSpace, Value


@final
class FunctionCodebook(Codebook):
    """As any codebook, but the first look at an architecture calls the function; later ones look it up."""

    def __init__(self, space: FunctionSpace) -> None:
        super().__init__(space)
        self._function = space
        self._column = {choice.name: column for column, choice in enumerate(self.choices)}
        self._links = {link: index for index, link in enumerate(operators_of(space))}
        self._met: dict[bytes, list[int]] = {}
        self._walked: dict[bytes, Architecture] = {}
        self._longest = 1

    @property
    def links(self) -> Sequence[Link]:
        return tuple(self._links)

    def meet(self, codes: Codes) -> None:
        for row in codes.astype(self._dtype):
            if (known := row.tobytes()) not in self._met:
                network = lower(self.space, self._walk(row))
                places = [self._links.setdefault(link, len(self._links)) for link in network.links]
                self._met[known], self._longest = places, max(self._longest, len(places))

    def active(self, codes: Codes) -> NDArray[np.bool_]:
        active = np.zeros(codes.shape, dtype=np.bool_)
        for row, mask in zip(codes, active, strict=True):
            mask[[self._column[name] for name, _ in self._walk(row.astype(self._dtype)).picks]] = True
        return active

    def draw(self, count: int, rng: np.random.Generator) -> Codes:
        hand = random.Random(int(rng.integers(2**63)))
        return self.encode([self.space.random(hand) for _ in range(count)])

    def every(self) -> Codes:
        return self.encode(list(self._function.enumerate()))

    def _tables(self) -> list[Ints]:
        return [np.arange(EMPTY_SLOT, len(self._links))] * self._longest

    def _entries(self, codes: Codes) -> Iterator[Ints]:
        places = np.full((len(codes), self._longest), EMPTY_SLOT)
        for row, out in zip(codes.astype(self._dtype), places, strict=True):
            known = self._met[row.tobytes()]
            out[: len(known)] = known
        yield from (places - EMPTY_SLOT).T

    def _walk(self, row: Codes) -> Architecture:
        """The architecture of a row; of a function that builds modules each walk takes a while."""
        if (known := row.tobytes()) in self._walked:
            return self._walked[known]

        def pick(choice: Choice) -> Value:
            if choice.name not in self._column:
                raise self._unmet()
            return choice.options[int(row[self._column[choice.name]])]

        self._walked[known] = self.space.sample(pick)
        return self._walked[known]
