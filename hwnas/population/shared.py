"""Shared choices that are decided together: what `canonical` of a space makes of their codes, by looking up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.space import Choice, Space, Value

Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class SharedCodes:
    """For each combination of codes, counted up from the last column, the codes that stand for the same network."""

    joint: Choice
    """Between the rows of `distinct`, by how many architectures each leads to."""
    columns: tuple[int, ...]
    strides: NDArray[np.intp]
    images: Codes
    distinct: Codes

    @classmethod
    def of(cls, space: Space) -> SharedCodes | None:
        """Return the shared codes of a space; None where architectures differ by activity alone."""
        if space.joint is None:
            return None
        places = {choice.name: column for column, choice in enumerate(space.choices)}
        shared = [choice for choice in space.choices if choice.name in space.shared]
        numbers = {choice.name: {option: code for code, option in enumerate(choice.options)} for choice in shared}

        def codes(picks: dict[str, Value]) -> list[int]:
            settled = space.settle(picks)
            return [numbers[choice.name][settled[choice.name]] for choice in shared]

        combinations = product(*(choice.options for choice in shared))
        images = [codes({choice.name: v for choice, v in zip(shared, values, strict=True)}) for values in combinations]
        sizes = [len(choice.options) for choice in shared]
        strides = np.array([int(np.prod(sizes[index + 1 :])) for index in range(len(sizes))], dtype=np.intp)
        return cls(
            joint=space.joint,
            columns=tuple(places[choice.name] for choice in shared),
            strides=strides,
            images=np.array(images, dtype=np.intp).reshape(-1, len(shared)),
            distinct=np.array([codes(dict(picks)) for picks in space.distinct], dtype=np.intp).reshape(-1, len(shared)),
        )

    def settle(self, codes: Codes) -> Codes:
        """Codes of the architectures that stand for the same networks."""
        settled = codes.copy()
        settled[:, self.columns] = self.images[codes[:, self.columns] @ self.strides]
        return settled
