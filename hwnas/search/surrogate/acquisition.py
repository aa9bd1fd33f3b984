"""The decision behind a proposal of `guided`: the network that, by the evaluations, promises the most hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import final

import moocore
import numpy as np
from numpy.typing import NDArray

from hwnas.population import Codes
from hwnas.predictors import Predictor
from hwnas.search.surrogate.batch_proposal import propose_batch
from hwnas.search.surrogate.candidates import CandidatePool, Candidates, Floats, Integers, PerNetwork, keys_of
from hwnas.search.surrogate.ehvi import (
    BoxDecomposition,
    beyond_front,
    expected_improvements,
    improvements,
    normal,
    probability_below,
)
from hwnas.search.surrogate.evolution import REFUSED
from hwnas.search.surrogate.fixed_effects import effects_of, evolve_variants, learned_effects, least_of, variants
from hwnas.search.surrogate.initial_design import stratified
from hwnas.search.surrogate.online_gp import CachedPosterior, OnlineGP, fitted_at

DESIGN = 10
"""Networks that are evaluated before anything is learned."""
DISTINCT = 5
"""Different targets from which something can be learned."""
FITTED = 300
"""Evaluations from which the parameters are fitted at most; all are taken in."""
CANDIDATES = 2000
"""Random networks that stand for a space too large to be looked at whole."""
UNWANTED = 0.1
"""Share of the networks whose predicted target is of no interest, unless another is named."""
FAR = 4
"""One in so many proposals for a whole front looks beyond the end that the belief expects."""

MANY_SCORED, TOGETHER = 600, 20
"""Scores from which, in a space too large to be looked at whole, proposals are worked out together; and how many."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Evaluations of a study, in order."""

    codes: Codes
    """(rows, choices)."""
    targets: Floats
    """(rows,) the learned objective as a cost; NaN where there is none."""
    valid: NDArray[np.bool_]
    """(rows,) true if it may stand on the front: nothing failed, all limits are held."""


@dataclass(frozen=True, eq=False)
class _Priced:
    """Networks with their known costs, and a mask of those within the limits."""

    pool: CandidatePool
    costs: Floats
    """(networks, known objectives)."""
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _WarmState:
    """The belief of the last proposal, and the evaluations it was fed."""

    belief: OnlineGP
    watched: CachedPosterior
    effects: Floats
    """(options,) of the gene that has some: what it adds to what the belief tells."""
    fitted: int
    codes: Codes
    targets: Floats

    def leads_to(self, codes: Codes, targets: Floats, fitted: int) -> bool:
        """Return whether more evaluations alone turn it into the belief of these codes and targets."""
        known = len(self.targets)
        return (
            self.fitted == fitted
            and known <= len(targets)
            and np.array_equal(self.codes, codes[:known])
            and np.array_equal(self.targets, targets[:known])
        )


@final
class Acquisition:
    """Proposals for studies of one space with one learned objective.

    Its state is worked out from the evaluations alone: a guide that was made afresh proposes the same.
    """

    def __init__(
        self,
        candidates: Candidates,
        known: Sequence[PerNetwork],
        *,
        limits: Sequence[tuple[PerNetwork, float]] = (),
        bound: float | None = None,
        confidence: float = 0.5,
        design: int = DESIGN,
        unwanted: float = UNWANTED,
    ) -> None:
        """Set up the proposals with what is known beforehand.

        Args:
            candidates: the networks.
            known: for each known objective, its cost by codes; low is good.
            limits: functions of codes, with the most that each may be.
            bound: the most that the learned objective, as a cost, may be.
            confidence: the probability with which a proposal must hold that; if none does, the surest is proposed.
            design: how many networks are evaluated before anything is learned.
            unwanted: share of the networks, the worst by the learned objective, that are of no interest however little
                they cost: the reference point stands there; with 0, the whole front is searched for, see `_cells`.
        """
        self.candidates, self.known, self.limits, self.design = candidates, known, limits, design
        self.bound, self.confidence, self.unwanted = bound, confidence, unwanted
        self._last: _WarmState | None = None
        self._queue: tuple[bytes, Codes] = b"", np.empty((0, 0), np.intp)
        """The proposals that were worked out together, and a digest of what they were worked out from."""

    @property
    def description(self) -> str:
        """Settings that make it another study, beside what it is worked out from; empty at the defaults."""
        bounded = "" if self.bound is None or self.confidence == 0.5 else f" held with {self.confidence:g}"
        return bounded + ("" if self.unwanted == UNWANTED else f" without the worst {self.unwanted:.0%}")

    def propose(self, observed: Observations, opened: Codes, seed: Sequence[int]) -> Codes | None:
        """Return the next network (choices,), none of those told or open; None if no other one holds the limits."""
        rng = np.random.default_rng(list(seed))
        scored = observed.targets[np.isfinite(observed.targets)]
        turn = len(observed.codes) + len(opened)
        if turn < self.design or len(np.unique(scored)) < DISTINCT:
            return self._designed(np.concatenate([observed.codes, opened]), rng)
        if len(scored) >= MANY_SCORED and self.candidates.everything is None:
            return self._next_of_many(observed, opened, seed[0])
        return self._promising(observed, opened, rng)

    def _designed(self, before: Codes, rng: np.random.Generator) -> Codes | None:
        """Return a network of the initial design, before anything is learned."""
        priced = self._standing
        free = priced.allowed & ~priced.pool.holds(before)
        if not free.any():
            return None
        costs = priced.costs[:, 0] if priced.costs.shape[1] else rng.random(len(free))
        index = stratified(costs, priced.pool, free, self.candidates.features(before), self.design, rng)
        chosen: Codes = priced.pool.codes[index]
        return chosen

    def _promising(self, observations: Observations, opened: Codes, rng: np.random.Generator) -> Codes | None:
        """Return the best by expected gain, as if open networks had turned out as predicted."""
        last = self._believed(observations)
        belief, kept, before = last.belief, last.belief.count, np.concatenate([observations.codes, opened])
        try:
            placed = belief.place(self.candidates.features(opened))
            expected = belief.predict(placed)[0]
            for point, value in zip(placed, expected, strict=True):
                belief.add(point, float(value))
            shifted = expected + effects_of(self.candidates, opened, last.effects)
            cells = self._cells(last, observations, opened, -belief.warp.back(shifted), rng)
            if self.candidates.everything is None:
                promise = partial(self._gains, last, cells, before)
                return evolve_variants(self.candidates, promise, before, rng, self._excess)
            priced = self._standing
            free = priced.allowed & ~priced.pool.holds(before)
            mean, deviation, row = self._usual(last)
            gains = self._gain(belief, cells, priced.costs, mean, deviation, row)
            return priced.pool.codes[int(np.argmax(np.where(free, gains, -np.inf)))] if free.any() else None
        finally:
            belief.rollback(kept)
            last.watched.rollback(kept)

    # --- when there are many scores ---

    def _next_of_many(self, observations: Observations, opened: Codes, seed: int) -> Codes | None:
        """Return the next of the batch from the last multiple of `TOGETHER` scores, or from all if none is free."""
        scored = np.flatnonzero(np.isfinite(observations.targets))
        before = set(map(bytes, observations.codes)) | set(map(bytes, opened))
        until = int(scored[len(scored) // TOGETHER * TOGETHER - 1]) + 1
        first = Observations(observations.codes[:until], observations.targets[:until], observations.valid[:until])
        parts = (np.array([seed]), first.codes, first.targets, first.valid)
        origin = b"".join(part.tobytes() for part in parts)
        if self._queue[0] != origin:
            rng = np.random.default_rng([seed, until])
            self._queue = origin, self._together(first, set(map(bytes, first.codes)), rng)
        free = [row for row in self._queue[1] if bytes(row) not in before]
        if not free:
            free = list(self._together(observations, before, np.random.default_rng([seed, len(before)])))
            self._queue = origin, np.array([*self._queue[1], *free], dtype=np.intp)
        return free[0] if free else None

    def _together(self, observations: Observations, taken: set[bytes], rng: np.random.Generator) -> Codes:
        """Return the networks that promise the most when scores are predicted by choices in common, the best first."""
        scored = np.isfinite(observations.targets)
        codes, targets = observations.codes[scored], observations.targets[scored]
        standing = self._standing
        within = standing.costs[standing.allowed] if standing.allowed.any() else standing.costs
        reference = float(np.quantile(targets, 1 - self.unwanted))
        if self.bound is not None:
            reference = min(reference, self.bound)
        costs = self._costs(codes)
        valid = observations.valid[scored]
        cells = BoxDecomposition.of(costs[valid], targets[valid], within.min(axis=0), within.max(axis=0), reference)

        def gains(of: Codes, expected: Floats, error: float) -> Floats:
            promised = expected_improvements(-expected, error, cells.levels)
            gained: Floats = (cells.widths(self._costs(of)) * promised).sum(axis=1)
            if self.bound is None:
                return gained
            return self._held(gained, normal((self.bound + expected) / error))

        ranks = moocore.pareto_rank(np.column_stack([costs, targets]))
        return propose_batch(
            self.candidates,
            codes,
            -targets,
            rng,
            taken=taken,
            excess=self._excess,
            count=2 * TOGETHER,
            order=np.lexsort((targets, ranks, ~valid)),
            acquisition=gains,
        )

    # --- what is known ---

    @cached_property
    def _standing(self) -> _Priced:
        """All networks, or random ones that stand for them."""
        everything = self.candidates.everything
        return self._price(everything or self.candidates.sample(CANDIDATES))

    def _price(self, pool: CandidatePool) -> _Priced:
        return _Priced(pool, self._costs(pool.codes), self._excess(pool.codes) <= 0)

    def _costs(self, codes: Codes) -> Floats:
        columns = [np.asarray(cost(codes), dtype=float) for cost in self.known]
        return np.stack(columns, axis=1) if columns else np.empty((len(codes), 0))

    def _excess(self, codes: Codes) -> Floats:
        """Return (networks,) the shares by which limits are exceeded, summed."""
        excess = np.zeros(len(codes))
        for cost, most in self.limits:
            excess += np.maximum(np.asarray(cost(codes), dtype=float) - most, 0.0) / (abs(most) or 1.0)
        return excess

    # --- what is learned ---

    def _believed(self, observations: Observations) -> _WarmState:
        """Return the belief after all evaluations; only new ones are taken in, unless it is time for another fit."""
        scored = np.isfinite(observations.targets)
        codes, targets = observations.codes[scored], observations.targets[scored]
        last, fit = self._last, fitted_at(len(targets), DISTINCT)
        if last is None or not last.leads_to(codes, targets, fit):
            at = np.linspace(0, fit - 1, min(fit, FITTED)).astype(np.intp)
            features = self.candidates.features(codes[at])
            belief = OnlineGP(Predictor.fit(features, -targets[at], self.candidates.groups))
            placed, values = belief.place(features), belief.warp.forward(-targets[at])
            effects = learned_effects(self.candidates, belief.process, codes[at], placed, values)
            watched = CachedPosterior(belief, self._standing.pool.features)
            last = _WarmState(belief, watched, effects, fit, codes[:0], targets[:0])
        known = len(last.targets)
        placed = last.belief.place(self.candidates.features(codes[known:]))
        values = last.belief.warp.forward(-targets[known:])
        values = values - effects_of(self.candidates, codes[known:], last.effects)
        for point, value in zip(placed, values, strict=True):
            last.belief.add(point, float(value))
        self._last = replace(last, codes=codes, targets=targets)
        return self._last

    def _cells(
        self, last: _WarmState, observations: Observations, opened: Codes, expected: Floats, rng: np.random.Generator
    ) -> BoxDecomposition:
        """Return the cells that remain to be gained after all that was told, and what is expected of open networks.

        For a whole front they end just beyond one that is drawn from the belief, noise included; see `FAR`.
        """
        standing, turn = self._standing, len(observations.codes) + len(opened)
        mean, deviation, row = self._usual(last)
        within = standing.costs[standing.allowed] if standing.allowed.any() else standing.costs
        costs = self._costs(np.concatenate([observations.codes[observations.valid], opened]))
        targets = np.concatenate([observations.targets[observations.valid], expected])
        if self.unwanted or turn % FAR == 0:
            usual = np.quantile(mean[row], [self.unwanted])
            high, reference = self._dearest(within), -float(last.belief.warp.back(usual)[0])
        else:
            free = standing.allowed & ~standing.pool.holds(np.concatenate([observations.codes, opened]))
            drawn = -last.belief.warp.back(mean[row] + deviation[row] * rng.standard_normal(len(row)))
            points = np.column_stack([standing.costs[free], drawn[free]]), np.column_stack([costs, targets])
            high, reference = beyond_front(np.concatenate(points))
        if self.bound is not None:
            reference = min(reference, self.bound)
        return BoxDecomposition.of(costs, targets, within.min(axis=0), high, reference)

    def _usual(self, last: _WarmState) -> tuple[Floats, Floats, Integers]:
        """Return means and deviations, and the row of them of each network that stands for the space."""
        pool, (mean, deviation) = self._standing.pool, last.watched.predict()
        if self.candidates.effect is None:
            return mean, deviation, pool.row
        shifted = mean[pool.row] + effects_of(self.candidates, pool.codes, last.effects)
        return shifted, deviation[pool.row], np.arange(len(pool.codes))

    def _dearest(self, within: Floats) -> Floats:
        """Return (known objectives,) the highest cost among networks, each with the gene that suits it where one has
        effects."""
        standing = self._standing
        if self.candidates.effect is not None:
            codes = standing.pool.codes[standing.allowed] if standing.allowed.any() else standing.pool.codes
            within = least_of(self.candidates, self._costs, codes)
        highest: Floats = within.max(axis=0)
        return highest

    def _gains(self, last: _WarmState, cells: BoxDecomposition, before: Codes, codes: Codes) -> list[Floats]:
        """Return (networks,) expected gains, for each option of a gene that has effects; -1 and less for refused ones,
        less the more they exceed a limit."""
        belief = last.belief
        mean, deviation = belief.predict(belief.place(self.candidates.features(codes)))
        seen, rows, result = set(keys_of(before)), np.arange(len(codes)), []
        for of in variants(self.candidates, codes):
            shifted = mean + effects_of(self.candidates, of, last.effects)
            gains = self._gain(belief, cells, self._costs(of), shifted, deviation, rows)
            known = np.array([key in seen for key in keys_of(of)], dtype=np.bool_)
            refused = REFUSED - self._excess(of)
            result.append(np.where(refused < REFUSED, refused, np.where(known, -np.inf, gains)))
        return result

    def _gain(
        self, belief: OnlineGP, cells: BoxDecomposition, costs: Floats, mean: Floats, deviation: Floats, row: Integers
    ) -> Floats:
        """Return (networks,) expected gains of networks with these costs, predicted as the given row of `mean` is.

        Below zero, how sure it is that the bound is broken, where that is surer than it may be.
        """
        warp = belief.warp
        promised = improvements(mean, deviation, warp, cells.levels)
        gains: Floats = (cells.widths(costs) * promised[row]).sum(axis=1)
        if self.bound is None:
            return gains
        return self._held(gains, probability_below(mean, deviation, warp, self.bound)[row])

    def _held(self, gains: Floats, probability: Floats) -> Floats:
        """Return gains where the bound is held surely enough; below zero elsewhere, less the less sure it is."""
        return np.where(probability >= self.confidence, gains, np.maximum(probability, 1e-9) - 1)
