"""Evolution on what is predicted: for spaces that are too large to be looked at whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np

from hwnas.population import Codes
from hwnas.search.surrogate.candidates import Candidates, Floats, Integers, keys_of

GENERATIONS, CHILDREN, PARENTS = 80, 50, 20
CHILDREN_PER_SCORED = 10
"""Children drawn for each that is scored: the others break a limit, or their choices scored worse so far."""
MUTATED = 0.7
"""Choices that are redrawn in a child, on average, beside one that always is."""
REFUSED = -1.0
"""Highest score of networks that must not be proposed; among them, higher ones are nearer to those that may be."""
RIDGE, FORGOTTEN = 1.0, 0.05
"""Sum of effects: its penalty, and the weight that earlier generations lose with each one."""


def evolve(
    candidates: Candidates,
    score: Callable[[Codes], Floats],
    known: Codes,
    rng: np.random.Generator,
    generations: int = GENERATIONS,
    children: int = CHILDREN,
    parents: int = PARENTS,
    excess: Callable[[Codes], Floats] | None = None,
) -> Codes | None:
    """Return the network (choices,) with the highest score of those visited; None if all of them are `REFUSED`.

    Begins with random networks and with those that are known, which need not be allowed themselves. No network is
    scored twice. Of the children drawn, those are scored that exceed limits the least by `excess`, and of these the
    ones with the highest sum of the effects that their choices had on scores so far.
    """
    codes = np.unique(np.concatenate([known, candidates.settle(candidates.draw(4 * children, rng))]), axis=0)
    scores, seen, effects = score(codes), set(keys_of(codes)), _Effects(candidates.sizes)
    effects.learn(codes, scores)
    for _ in range(generations):
        best = np.argsort(-scores, kind="stable")[:parents]
        codes, scores = codes[best], scores[best]
        drawn = candidates.settle(offspring(codes, CHILDREN_PER_SCORED * children, candidates, rng))
        drawn = drawn[[at for row, at in {row: at for at, row in enumerate(keys_of(drawn))}.items() if row not in seen]]
        over = np.zeros(len(drawn)) if excess is None else excess(drawn)
        born = drawn[np.lexsort((-effects.of(drawn), over))[:children]]
        seen.update(keys_of(born))
        born_scores = score(born)
        effects.learn(born, born_scores)
        codes, scores = np.concatenate([codes, born]), np.concatenate([scores, born_scores])
    best_of_all = int(np.argmax(scores))
    return codes[best_of_all] if scores[best_of_all] > REFUSED else None


def offspring(parents: Codes, count: int, candidates: Candidates, rng: np.random.Generator) -> Codes:
    """Breed children of random pairs, or of one parent: each choice from either parent, some redrawn."""
    pairs = rng.integers(len(parents), size=(2, count))
    shape = (count, len(candidates.sizes))
    either = (rng.random(shape) < 0.5) | (rng.random((count, 1)) < 0.5)
    children = np.where(either, parents[pairs[0]], parents[pairs[1]])
    redrawn = rng.random(shape) < MUTATED / shape[1]
    redrawn[np.arange(count), rng.integers(shape[1], size=count)] = True
    return np.where(redrawn, rng.integers(candidates.sizes, size=shape), children)


@final
class _Effects:
    """A score as a sum of the effects of options, by ridge regression; what is learned late weighs more."""

    def __init__(self, sizes: Integers) -> None:
        self._starts = np.cumsum(sizes) - sizes
        columns = int(sizes.sum()) + 1  # the last is the constant, which has next to no penalty
        self._penalty = np.diag([*np.full(columns - 1, RIDGE), 1e-6])
        self._squares, self._products = np.zeros((columns, columns)), np.zeros(columns)

    def learn(self, codes: Codes, scores: Floats) -> None:
        """Learn from a generation; refused networks have no score."""
        allowed = np.flatnonzero(scores > REFUSED)
        rows = np.zeros((len(allowed), len(self._products)))
        np.put_along_axis(rows, self._starts + codes[allowed], 1.0, axis=1)
        rows[:, -1] = 1.0
        self._squares = (1 - FORGOTTEN) * self._squares + rows.T @ rows
        self._products = (1 - FORGOTTEN) * self._products + rows.T @ scores[allowed]

    def of(self, codes: Codes) -> Floats:
        """Return (networks,) sums of effects, the constant left out."""
        effects = np.linalg.solve(self._squares + self._penalty, self._products)
        sums: Floats = effects[self._starts + codes].sum(axis=1)
        return sums
