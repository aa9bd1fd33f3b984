"""Base of every codebook: architectures to codes and back, and sums over a population by looking up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.errors import SpaceError
from hwnas.network import lower
from hwnas.ops import Operator, Shape
from hwnas.space import AnySpace, Architecture
from hwnas.words import brief

Codes: TypeAlias = NDArray[np.integer[Any]]
"""(networks, choices) which option of each choice a network takes."""
Ints: TypeAlias = NDArray[np.intp]
Link: TypeAlias = tuple[Operator, Shape]

LOOKUP_CHUNK = 8192
"""Networks looked up at a time: what lies between two steps stays in the processor's caches."""
EMPTY_SLOT = -1
"""The place of a slot that a network leaves empty."""


@brief
class Codebook(ABC):
    """Encodes architectures of a space, and sums what is known of each link over whole populations.

    >>> codebook = codebook_of(space)
    >>> codes = codebook.draw(1_000_000, np.random.default_rng(0))
    >>> macs = codebook.total(codes, [operator_costs(*link).macs for link in codebook.links])

    A code is an index into the options of a choice, in the order of `choices`. `encode` and `draw` write 0 where a
    choice is not active, so equal networks have equal codes. All other methods also take codes with anything there.
    """

    def __init__(self, space: AnySpace) -> None:
        self.space = space
        self.choices = space.choices
        sizes = [len(choice.options) for choice in self.choices]
        self._sizes = np.array(sizes, dtype=np.intp)
        self._dtype = np.min_scalar_type(max(sizes, default=1) - 1)
        self._picks = [[(choice.name, option) for option in choice.options] for choice in self.choices]
        self._number = {pick: number for number, pick in enumerate(chain.from_iterable(self._picks))}
        numbered = [(column, code) for column, size in enumerate(sizes) for code in range(size)]
        self._numbered = np.array(numbered, dtype=np.intp).reshape(-1, 2)

    @property
    @abstractmethod
    def links(self) -> Sequence[Link]:
        """Every (operator, input shape) that a network can hold, in the order of `operators_of(space)`.

        Of a space that is a function with too many architectures to walk, those seen so far: see `meet`.
        """

    @abstractmethod
    def meet(self, codes: Codes) -> None:
        """Make sure that the links of these networks are among `links`. Only large functions can add some."""

    @abstractmethod
    def active(self, codes: Codes) -> NDArray[np.bool_]:
        """(networks, choices) whether the other picks of a network leave the choice open."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Codes:
        """Codes of `count` architectures from the distribution of `space.random`: all alike, where they are counted."""

    @abstractmethod
    def every(self) -> Codes:
        """Codes of all architectures of the space, each once. For spaces with as many as memory holds."""

    @abstractmethod
    def _tables(self) -> list[Ints]:
        """Return for each slot a table of indices in `links`."""

    @abstractmethod
    def _entries(self, codes: Codes) -> Iterator[Ints]:
        """Yield for each slot the index of each network's entry in the slot's table."""

    def _settled(self, codes: Codes) -> Codes:
        """Return the codes of the architectures that represent the same networks, where the space defines some."""
        return codes

    def encode(self, architectures: Sequence[Architecture]) -> Codes:
        """(networks, choices) codes of architectures.

        Raises:
            SpaceError: an architecture does not fit the space.
        """
        codes = np.zeros((len(architectures), len(self.choices)), dtype=self._dtype)
        present = np.zeros(codes.shape, dtype=np.bool_)
        try:
            numbers = [self._number[pick] for architecture in architectures for pick in architecture.picks]
        except KeyError:
            raise self._misfit(architectures) from None
        rows = np.repeat(np.arange(len(architectures)), [len(architecture.picks) for architecture in architectures])
        columns, values = self._numbered[np.array(numbers, dtype=np.intp)].T
        codes[rows, columns], present[rows, columns] = values, True
        if any(architecture.space != self.space.name for architecture in architectures):
            raise self._misfit(architectures)
        if (wrong := ((present != self.active(codes)) | (codes != self._settled(codes))).any(axis=1)).any():
            raise self._misfit([architectures[index] for index in np.flatnonzero(wrong).tolist()])
        return codes

    def decode(self, codes: Codes) -> list[Architecture]:
        """The architectures that codes stand for."""
        codes = self._checked(codes)
        order = sorted(range(len(self.choices)), key=lambda column: self.choices[column].name)
        picks = [self._picks[column] for column in order]
        rows = zip(codes[:, order].tolist(), self.active(codes)[:, order].tolist(), strict=True)
        return [
            Architecture(self.space.name, tuple(p[code] for p, code, use in zip(picks, row, used, strict=True) if use))
            for row, used in rows
        ]

    def canonical(self, codes: Codes) -> Codes:
        """The codes of the architectures that stand for the networks, 0 where a choice is not active."""
        codes = self._checked(codes)
        return np.where(self.active(codes), codes, 0).astype(self._dtype)

    def places(self, codes: Codes) -> Ints:
        """(networks, slots) places in `links`, `EMPTY_SLOT` where a network leaves a slot empty."""
        codes = self._checked(codes)
        self.meet(codes)
        tables = self._tables()
        result = np.empty((len(codes), len(tables)), dtype=np.intp)
        for start in range(0, len(codes), LOOKUP_CHUNK):
            for slot, entries in enumerate(self._entries(codes[start : start + LOOKUP_CHUNK])):
                result[start : start + LOOKUP_CHUNK, slot] = tables[slot][entries]
        return result

    def used(self, codes: Codes) -> Ints:
        """The places in `links`, rising, of what these networks hold."""
        codes = self._checked(codes)
        self.meet(codes)
        seen = np.zeros(len(self.links) + 1, dtype=np.bool_)  # EMPTY_SLOT is the last of it
        tables = self._tables()
        for start in range(0, len(codes), LOOKUP_CHUNK):
            for table, entries in zip(tables, self._entries(codes[start : start + LOOKUP_CHUNK]), strict=True):
                seen[table.take(entries)] = True
        return np.flatnonzero(seen[:EMPTY_SLOT])

    def total(self, codes: Codes, per_link: ArrayLike) -> NDArray[Any]:
        """Sums over each network's operators of a quantity that is known of each link.

        Args:
            codes: (networks, choices).
            per_link: (links,) or (links, k), in the order of `links`.

        Returns:
            (networks,) or (networks, k), of the type of `per_link`.
        """
        values = np.asarray(per_link)
        return self._gather(codes, values, np.zeros_like(values[:1]), np.add)

    def maximum(self, codes: Codes, per_link: ArrayLike) -> NDArray[Any]:
        """Return the largest over each network's operators, otherwise as `total`: of activation bytes, for example."""
        values = np.asarray(per_link)
        return self._gather(codes, values, values.min(axis=0, keepdims=True), np.maximum)

    def _gather(self, codes: Codes, values: NDArray[Any], nothing: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
        codes = self._checked(codes)
        self.meet(codes)
        if len(values) != len(self.links):
            raise SpaceError(
                f"{len(values):,} values are given for {len(self.links):,} links",
                where=f"space `{self.space.name}`",
                allowed="`per_link` holds one value for each of `links`",
                do="Call `meet` on these networks first: it may add links",
            )
        padded = np.concatenate([values, nothing])  # EMPTY_SLOT is the last of it
        tables = self._tables()
        filled = [padded[table] if len(table) <= len(codes) else None for table in tables]
        out = np.empty((len(codes), *values.shape[1:]), dtype=values.dtype)
        for start in range(0, len(codes), LOOKUP_CHUNK):
            part = out[start : start + LOOKUP_CHUNK]
            slots = zip(tables, filled, self._entries(codes[start : start + LOOKUP_CHUNK]), strict=True)
            for slot, (table, expanded, entries) in enumerate(slots):
                picked = padded[table.take(entries)] if expanded is None else expanded.take(entries, axis=0)
                if slot:
                    combine(part, picked, out=part)
                else:
                    part[:] = picked
        return out

    def _checked(self, codes: Codes) -> Codes:
        codes = np.asarray(codes)
        shaped = codes.ndim == 2 and codes.shape[1] == len(self.choices) and np.issubdtype(codes.dtype, np.integer)
        if not shaped or (codes.size and ((codes.max(axis=0) >= self._sizes).any() or codes.min() < 0)):
            raise SpaceError(
                f"codes of shape {codes.shape} and type {codes.dtype}" + (" name what is no option" if shaped else ""),
                where=f"space `{self.space.name}`",
                allowed=f"Integers of shape (networks, {len(self.choices)}), each an index into its choice's options",
                do="Take codes from `encode` or `draw`",
            )
        return self._settled(codes)

    def _misfit(self, architectures: Sequence[Architecture]) -> SpaceError:
        for architecture in architectures:
            try:
                lower(self.space, architecture)
            except SpaceError as error:
                return error
        return self._unmet()

    def _unmet(self) -> SpaceError:
        return SpaceError(
            "an architecture decides a choice that was not met before",
            where=f"space `{self.space.name}`",
            allowed="Of a function with too many architectures to walk, the choices met in 2,000 random ones are known",
            do="Lower such architectures one at a time",
        )
