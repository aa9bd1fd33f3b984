"""The next networks to evaluate, after thousands: scores are predicted by the choices that networks have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np

from hwnas.population import Codes
from hwnas.search.surrogate.candidates import Candidates, Floats, Integers, Table
from hwnas.search.surrogate.evolution import offspring

AcquisitionFunction = Callable[[Codes, Floats, float], Floats]
"""Function that gives the worth of networks, of their codes, expected scores and the usual error of these."""

PROPOSAL_BATCH = 100
"""Networks chosen at a time."""
BEST, LATEST, OTHERS = 400, 200, 400
"""Evaluations that are learned from. The others are of every rank: without them, what is far off is forgotten."""
ORDERS = (1.0, 3.0)
"""By turns: the higher, the more what several choices do together counts beside what each does alone."""
RIDGE_NOISE = 1e-3
"""Share of a score's variance that choices in common do not explain."""
BATCH_GENERATIONS, BATCH_CHILDREN, CHILDREN_PER_KEPT, KEPT_CHILDREN = 8, 400, 3, 100
"""Evolution on the learned score: generations, children of each, drawn for each child, parents of the next one."""
BATCH_PARENTS = 50
RANDOM_SHARE = 0.2
"""Share of the calls for random networks, before anything is learned: with fewer, the first valley is all there is."""
TURNS = 50
"""Draws, at most, until enough networks are within the limits."""
MIN_DISTANCE = 4
"""Choices in which the networks of one batch differ at least, as long as there are enough."""


@final
class HammingKernelRidge:
    """A score by kernel ridge regression; two networks are alike by the share of their choices that are equal."""

    def __init__(self, sizes: Integers, codes: Codes, scores: Floats, order: float) -> None:
        self._starts, self._columns = np.cumsum(sizes) - sizes, int(sizes.sum())
        self._order = np.float32(order)
        self._mean, self._spread = float(scores.mean()), float(scores.std()) or 1.0
        self._points = self._open(codes)
        joint = self._alike(self._points).astype(np.float64)
        joint[np.diag_indices(len(joint))] += RIDGE_NOISE * joint[0, 0]
        precision = np.linalg.inv(joint)
        weights = precision @ ((scores - self._mean) / self._spread)
        self._weights = weights.astype(np.float32)
        self.error = self._spread * float(np.sqrt(np.mean((weights / np.diag(precision)) ** 2)))
        """Root mean square error of a score that was left out of the fit."""

    def of(self, codes: Codes) -> Floats:
        """Return (networks,) expected scores."""
        standardized: Floats = (self._alike(self._open(codes)) @ self._weights).astype(float)
        return self._mean + self._spread * standardized

    def _open(self, codes: Codes) -> Table:
        """Return (networks, options) 1 where an option is taken."""
        opened = np.zeros((len(codes), self._columns), np.float32)
        np.put_along_axis(opened, self._starts + codes, np.float32(1), axis=1)
        return opened

    def _alike(self, opened: Table) -> Table:
        """Return (networks, points) likenesses."""
        shared = opened @ self._points.T
        shared *= self._order / np.float32(len(self._starts))
        alike: Table = np.exp(shared, out=shared)
        return alike


def propose_batch(
    candidates: Candidates,
    codes: Codes,
    scores: Floats,
    rng: np.random.Generator,
    *,
    taken: set[bytes],
    excess: Callable[[Codes], Floats],
    count: int = PROPOSAL_BATCH,
    order: Integers | None = None,
    acquisition: AcquisitionFunction | None = None,
) -> Codes:
    """Return `count` new networks within the limits, or fewer if there are no more, the most promising first.

    Args:
        candidates: the space.
        codes: (rows, choices) the evaluated networks.
        scores: (rows,) their scores, higher is better.
        taken: networks that must not be chosen.
        excess: by how much networks exceed limits; 0 and less are within.
        order: (rows,) indices of the evaluated networks, the best first; by score if left out.
        acquisition: the worth by which they are chosen; their expected scores if left out.
    """
    order = np.argsort(-scores, kind="stable") if order is None else order
    latest, others = np.arange(max(len(codes) - LATEST, 0), len(codes)), order[:: max(len(order) // OTHERS, 1)]
    learned = np.unique(np.concatenate([order[:BEST], latest, others]))
    turn = len(codes) // PROPOSAL_BATCH % len(ORDERS)
    similarity_key = HammingKernelRidge(candidates.sizes, codes[learned], scores[learned], ORDERS[turn])

    def promise(of: Codes) -> Floats:
        expected = similarity_key.of(of)
        return expected if acquisition is None else acquisition(of, expected, similarity_key.error)

    alive = codes[order[:BATCH_PARENTS]]
    promised, visited = promise(alive), {bytes(row): -np.inf for row in alive}
    for _ in range(BATCH_GENERATIONS):
        drawn = candidates.settle(offspring(alive, CHILDREN_PER_KEPT * BATCH_CHILDREN, candidates, rng))
        drawn = _new(drawn[excess(drawn) <= 0], visited)[:BATCH_CHILDREN]
        worth = promise(drawn)
        visited.update(zip(map(bytes, drawn), worth.tolist(), strict=True))
        alive, promised = np.concatenate([alive, drawn]), np.concatenate([promised, worth])
        best = np.argsort(-promised, kind="stable")[:KEPT_CHILDREN]
        alive, promised = alive[best], promised[best]
    free = sorted((-worth, key) for key, worth in visited.items() if key not in taken and worth > -np.inf)[: 6 * count]
    rows = np.array([np.frombuffer(key, dtype=codes.dtype) for _, key in free], dtype=codes.dtype)
    return rows.reshape(len(free), codes.shape[1])[_spread(rows, count)]


def best_within(
    candidates: Candidates,
    score: Callable[[Codes], Floats],
    excess: Callable[[Codes], Floats],
    calls: int,
    rng: np.random.Generator,
) -> tuple[Codes, Floats]:
    """Return networks within limits and their scores, the best first, for a score that may be computed `calls` times.

    Args:
        candidates: the space.
        score: of networks, higher is better; no network is scored twice.
        excess: by how much networks exceed limits; 0 and less are within. It may be called at will.
        calls: how many networks are scored.
        rng: equal generators, equal results.
    """
    codes = _drawn(candidates, excess, max(int(RANDOM_SHARE * calls), 1), rng)
    scores, taken = score(codes), set(map(bytes, codes))
    while 0 < len(codes) < calls:
        count = min(PROPOSAL_BATCH, calls - len(codes))
        chosen = propose_batch(candidates, codes, scores, rng, taken=taken, excess=excess, count=count)
        if not len(chosen):
            break
        taken.update(map(bytes, chosen))
        codes, scores = np.concatenate([codes, chosen]), np.concatenate([scores, score(chosen)])
    order = np.argsort(-scores, kind="stable")
    return codes[order], scores[order]


def _drawn(candidates: Candidates, excess: Callable[[Codes], Floats], count: int, rng: np.random.Generator) -> Codes:
    """Return random networks within the limits; if those are rare, ones that evolution towards the limits reaches."""
    drawn = candidates.settle(candidates.draw(4 * count, rng))
    codes = drawn[:0]
    for _ in range(TURNS):
        over = excess(drawn)
        codes = np.unique(np.concatenate([codes, drawn[over <= 0]]), axis=0)
        if len(codes) >= count:
            break
        nearest = drawn[np.argsort(over, kind="stable")[:BATCH_PARENTS]]
        bred = offspring(nearest, 4 * count, candidates, rng)
        drawn = np.concatenate([nearest, candidates.settle(np.concatenate([candidates.draw(4 * count, rng), bred]))])
    return rng.permutation(codes)[:count]


def _new(codes: Codes, known: dict[bytes, float]) -> Codes:
    """Return the networks that are not known, each once."""
    return codes[[at for key, at in {bytes(row): at for at, row in enumerate(codes)}.items() if key not in known]]


def _spread(codes: Codes, count: int) -> Integers:
    """Return indices of `count` networks, the first before others, unless they are too near to one that was chosen."""
    chosen: list[int] = []
    for apart in range(MIN_DISTANCE, 0, -1):
        near = np.zeros(len(codes), dtype=np.bool_)
        near[chosen] = True
        for index in chosen:
            near |= (codes != codes[index]).sum(axis=1) < apart
        while len(chosen) < count and not near.all():
            index = int(np.argmin(near))
            chosen.append(index)
            near |= (codes != codes[index]).sum(axis=1) < apart
    return np.array(chosen, dtype=np.intp)
