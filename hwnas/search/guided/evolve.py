"""Evolution on what is predicted: for spaces that are too large to be looked at whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.population import Codes
from hwnas.search.guided.candidates import Candidates, Floats

GENERATIONS, CHILDREN, PARENTS = 16, 1000, 200
MUTATION = 0.1
"""With which probability a choice is redrawn; one choice of a child always may be."""


def evolve(
    candidates: Candidates,
    score: Callable[[Codes], Floats],
    known: Codes,
    rng: np.random.Generator,
    generations: int = GENERATIONS,
    children: int = CHILDREN,
    parents: int = PARENTS,
) -> Codes | None:
    """The network (choices,) with the highest score found; None if all are minus infinity, which means: not allowed.

    Begins with random networks and with those that are known, which need not be allowed themselves.
    """
    codes = _distinct(np.concatenate([known, candidates.settle(candidates.draw(children, rng))]))
    scores = score(codes)
    for _ in range(generations):
        best = np.argsort(-scores, kind="stable")[:parents]
        codes, scores = codes[best], scores[best]
        born = _distinct(candidates.settle(offspring(codes, children, candidates, rng)))
        codes, scores = np.concatenate([codes, born]), np.concatenate([scores, score(born)])
        codes, first = np.unique(codes, axis=0, return_index=True)
        scores = scores[first]
    best_of_all = int(np.argmax(scores))
    return codes[best_of_all] if np.isfinite(scores[best_of_all]) else None


def offspring(parents: Codes, count: int, candidates: Candidates, rng: np.random.Generator) -> Codes:
    """Children of random pairs: each choice from either parent, some redrawn."""
    pairs = rng.integers(len(parents), size=(2, count))
    shape = (count, len(candidates.sizes))
    children = np.where(rng.random(shape) < 0.5, parents[pairs[0]], parents[pairs[1]])
    redrawn = rng.random(shape) < MUTATION
    redrawn[np.arange(count), rng.integers(shape[1], size=count)] = True
    return np.where(redrawn, rng.integers(candidates.sizes, size=shape), children)


def _distinct(codes: Codes) -> Codes:
    found: Codes = np.unique(codes, axis=0)
    return found
