"""Evolution on what is predicted: for spaces that are too large to be looked at whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.population import Codes
from hwnas.search.guided.candidates import Candidates, Floats

GENERATIONS, CHILDREN, PARENTS = 80, 50, 20
MUTATED = 0.7
"""Choices that are redrawn in a child, on average, beside one that always is."""
REFUSED = -1.0
"""Scores up to this are of networks that must not be proposed; among them, higher ones are nearer to those that may."""


def evolve(
    candidates: Candidates,
    score: Callable[[Codes], Floats],
    known: Codes,
    rng: np.random.Generator,
    generations: int = GENERATIONS,
    children: int = CHILDREN,
    parents: int = PARENTS,
) -> Codes | None:
    """The network (choices,) with the highest score found; None if all that were found are `REFUSED`.

    Begins with random networks and with those that are known, which need not be allowed themselves. No network is
    scored twice.
    """
    codes = np.unique(np.concatenate([known, candidates.settle(candidates.draw(4 * children, rng))]), axis=0)
    scores, seen = score(codes), dict.fromkeys(map(bytes, codes))
    for _ in range(generations):
        best = np.argsort(-scores, kind="stable")[:parents]
        codes, scores = codes[best], scores[best]
        born = candidates.settle(offspring(codes, children, candidates, rng))
        new = [place for row, place in {bytes(row): at for at, row in enumerate(born)}.items() if row not in seen]
        seen.update(dict.fromkeys(map(bytes, born)))
        codes, scores = np.concatenate([codes, born[new]]), np.concatenate([scores, score(born[new])])
    best_of_all = int(np.argmax(scores))
    return codes[best_of_all] if scores[best_of_all] > REFUSED else None


def offspring(parents: Codes, count: int, candidates: Candidates, rng: np.random.Generator) -> Codes:
    """Children of random pairs: each choice from either parent, some redrawn."""
    pairs = rng.integers(len(parents), size=(2, count))
    shape = (count, len(candidates.sizes))
    children = np.where(rng.random(shape) < 0.5, parents[pairs[0]], parents[pairs[1]])
    redrawn = rng.random(shape) < MUTATED / shape[1]
    redrawn[np.arange(count), rng.integers(shape[1], size=count)] = True
    return np.where(redrawn, rng.integers(candidates.sizes, size=shape), children)
