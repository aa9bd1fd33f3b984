"""Networks that may be proposed, as rows of small integers, and what is known of them without an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hwnas.population import Codebook, Codes
from hwnas.predictors import features_of
from hwnas.space import Value

Floats: TypeAlias = NDArray[np.float64]
Table: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.intp]
PerNetwork: TypeAlias = Callable[[Codes], NDArray[Any]]
"""Function from codes (networks, choices) to one value, or one row of features, for each network."""

ENUMERATED = 100_000
"""Genomes up to which a space is looked at whole; a larger one is searched by evolution."""


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """The networks of a space: how they are coded, which codes are equal networks, and their features."""

    names: tuple[str, ...]
    options: tuple[tuple[Value, ...], ...]
    draw: Callable[[int, np.random.Generator], Codes]
    settle: Callable[[Codes], Codes]
    """Function to the codes of the architectures that codes stand for: equal rows for equal networks."""
    features: Callable[[Codes], Table]
    groups: Integers
    """(columns,) the number of each feature's group; columns of a group are comparable."""
    effect: int | None = None
    """Column of a gene that features leave out: its options shift the learned objective, each by the same for all."""

    @cached_property
    def sizes(self) -> Integers:
        return np.array([len(options) for options in self.options], dtype=np.intp)

    @cached_property
    def everything(self) -> CandidatePool | None:
        """All networks, each once, or None if there are too many."""
        if prod(self.sizes.tolist()) > ENUMERATED:
            return None
        genomes = np.array(list(product(*(range(size) for size in self.sizes))), dtype=np.intp)
        return CandidatePool.of(self, np.unique(self.settle(genomes), axis=0))

    def sample(self, count: int) -> CandidatePool:
        """Draw random networks, the same each time."""
        return CandidatePool.of(self, np.unique(self.settle(self.draw(count, np.random.default_rng(0))), axis=0))

    def encode(self, genes: Sequence[Mapping[str, Value]]) -> Codes:
        """Return settled codes of parameters by name."""
        codes = [{option: code for code, option in enumerate(options)} for options in self.options]
        rows = [[code_of[g[name]] for code_of, name in zip(codes, self.names, strict=True)] for g in genes]
        return self.settle(np.array(rows, dtype=np.intp).reshape(len(rows), len(self.names)))

    def decode(self, row: Codes) -> dict[str, Value]:
        """Return parameters by name."""
        return {name: options[code] for name, options, code in zip(self.names, self.options, row.tolist(), strict=True)}


@final
@dataclass(frozen=True, eq=False)
class CandidatePool:
    """A table of networks; networks with equal features share a row of `features`."""

    codes: Codes
    features: Table
    row: Integers
    """(networks,) the row of its features."""
    place: Mapping[bytes, int]
    """The index of a network by its codes."""

    def holds(self, codes: Codes) -> NDArray[np.bool_]:
        """Return (networks of the pool,) true if a network is among these."""
        mask = np.zeros(len(self.codes), dtype=np.bool_)
        mask[[index for row in codes if (index := self.place.get(row.tobytes())) is not None]] = True
        return mask

    @classmethod
    def of(cls, candidates: Candidates, codes: Codes) -> CandidatePool:
        features, row = np.unique(candidates.features(codes), axis=0, return_inverse=True)
        return cls(codes, features, row.reshape(-1), {code.tobytes(): n for n, code in enumerate(codes)})


def keys_of(codes: Codes) -> list[bytes]:
    """Return the bytes of each row: faster than one row after another."""
    joined, width = codes.tobytes(), codes.shape[1] * codes.itemsize
    return [joined[at : at + width] for at in range(0, len(joined), width)] if width else [b""] * len(codes)


def candidates_of(codebook: Codebook) -> Candidates:
    """Return the networks of a space, with the features that `hwnas.predictors` knows of them."""
    known = features_of(codebook)
    return Candidates(
        tuple(choice.name for choice in codebook.choices),
        tuple(choice.options for choice in codebook.choices),
        lambda count, rng: codebook.draw(count, rng).astype(np.intp),
        lambda codes: codebook.canonical(codes).astype(np.intp),
        known,
        known.groups,
    )


def grid(
    options: Mapping[str, Sequence[Value]], features: tuple[Callable[[Codes], Table], Integers] | None = None
) -> Candidates:
    """Return every combination of options; by default, the features are the option that each parameter takes."""
    sizes = np.array([len(of) for of in options.values()], dtype=np.intp)

    def one_hot(codes: Codes) -> Table:
        parts = [codes[:, column, None] == np.arange(size) for column, size in enumerate(sizes)]
        return np.hstack(parts).astype(np.float32)

    return Candidates(
        tuple(options),
        tuple(tuple(of) for of in options.values()),
        lambda count, rng: rng.integers(sizes, size=(count, len(sizes))),
        lambda codes: np.asarray(codes, dtype=np.intp),
        *(features or (one_hot, np.zeros(int(sizes.sum()), np.intp))),
    )
