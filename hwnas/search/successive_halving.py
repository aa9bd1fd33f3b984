"""Successive halving on several objectives: many networks on a cheap score, the best of them on dearer ones.

A rung scores its networks; those of the best non-domination rank, within a rank the less crowded, go on to the next.
Optuna prunes by one value alone, so this is hwnas's own (after Karnin et al. 2013 and Schmucker et al. 2021).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwnas.errors import ConfigError
from hwnas.pareto import Limit, Objective, Tier, best
from hwnas.quantities import Metric
from hwnas.search.evaluate import Evaluation, Scorer, evaluate
from hwnas.search.score_store import ScoreStore
from hwnas.space import AnySpace, Architecture
from hwnas.words import brief

MAX_FRUITLESS_DRAWS = 200
"""Draws in a row without a new network within the limits that end the drawing of a population."""


@dataclass(frozen=True)
class Rung:
    """A score of accuracy, and the number of networks scored by it."""

    quality: Objective
    """Score that replaces the tier's accuracy."""
    networks: int
    scorer: Scorer
    producer: str
    """Origin of a stored score, see `Score.producer`."""

    @property
    def metric(self) -> str:
        """Metric of the score."""
        return self.quality.metric


@brief
@dataclass(frozen=True)
class RungResult:
    """A rung after its networks were scored."""

    metric: str
    producer: str
    tier: Tier
    """The tier as this rung sees it."""
    evaluations: tuple[Evaluation, ...]
    promoted: tuple[Architecture, ...]
    """Networks that go on to the next rung; of the last one all that compete, best first."""
    elapsed_s: float
    """Seconds spent by this process; scores that were stored before take none."""

    @property
    def failed(self) -> int:
        """Number of networks that could not be scored; each evaluation has its reason."""
        return sum(evaluation.failed is not None for evaluation in self.evaluations)


def successive_halving(
    population: Sequence[Architecture],
    rungs: Sequence[Rung],
    tier: Tier,
    cheap: Mapping[str, Scorer],
    store: ScoreStore,
    progress: Callable[[int, int, int], None] | None = None,
) -> list[RungResult]:
    """Score on each rung, from the whole population to the networks of the last one.

    Costs and limits are the tier's own on every rung (`cheap` scores them); its first objective is the rung's score. A
    network that breaks a limit or cannot be scored is not promoted. Scores come from the store and go there, one by
    one, so a run that was interrupted continues as if it had not been. `progress` gets the rung, counting from 0,
    how many of its networks are done, and of how many.

    Raises:
        ConfigError: there is no rung, or a later one has more networks than an earlier one.
    """
    _check(rungs, tier)
    results: list[RungResult] = []
    standing = list(dict.fromkeys(population))[: rungs[0].networks]
    for number, rung in enumerate(rungs):
        started, seen = time.monotonic(), tier_for_rung(tier, rung.quality)
        scorers, producers = {**cheap, rung.metric: rung.scorer}, {rung.metric: rung.producer}
        evaluations: list[Evaluation] = []
        for architecture in standing:
            evaluations.append(evaluate(architecture, scorers, seen, store, producers))
            if progress is not None:
                progress(number, len(evaluations), len(standing))
        last = number == len(rungs) - 1
        standing = promoted(evaluations, seen, len(evaluations) if last else rungs[number + 1].networks)
        results.append(
            RungResult(
                rung.metric, rung.producer, seen, tuple(evaluations), tuple(standing), time.monotonic() - started
            )
        )
    return results


def promoted(evaluations: Sequence[Evaluation], tier: Tier, count: int) -> list[Architecture]:
    """Return the `count` best architectures among those that compete for the tier, best first."""
    rows = [evaluation for evaluation in evaluations if evaluation.competes(tier)]
    return [rows[index].architecture for index in best([row.scores for row in rows], tier.objectives, count)]


def tier_for_rung(tier: Tier, quality: Objective) -> Tier:
    """Return the tier with another score in place of its accuracy. A limit on accuracy stays where the score is one."""
    accuracy = tier.quality
    alike = Metric.parse(quality.metric).quantity == Metric.parse(accuracy.metric).quantity
    limits: list[Limit] = []
    for limit in tier.limits:
        if limit.metric != accuracy.metric:
            limits.append(limit)
        elif alike:
            limits.append(replace(limit, metric=quality.metric))
    return replace(tier, objectives=(quality, *tier.costs), limits=tuple(limits))


def sample_initial(
    space: AnySpace,
    count: int,
    seed: int,
    fits: Callable[[Architecture], bool],
    first: Sequence[Architecture] = (),
) -> list[Architecture]:
    """Return `count` different architectures that fit: of `first`, then random ones; fewer if there are no more."""
    rng = random.Random(seed)
    fitting: dict[Architecture, None] = {}
    for architecture in first:
        if len(fitting) < count and fits(architecture):
            fitting[architecture] = None
    seen, stale = set(fitting), 0
    while len(fitting) < count and stale < MAX_FRUITLESS_DRAWS:
        architecture = space.random(rng)
        stale += 1
        if architecture not in seen:
            seen.add(architecture)
            if fits(architecture):
                fitting[architecture], stale = None, 0
    return list(fitting)


def _check(rungs: Sequence[Rung], tier: Tier) -> None:
    counts = [rung.networks for rung in rungs]
    if not counts or counts != sorted(counts, reverse=True):
        raise ConfigError(
            f"the rungs score {', '.join(map(str, counts)) or 'no'} networks",
            where=f"successive halving of tier `{tier.name}`",
            allowed="There is at least one rung, and none scores more networks than the one before",
            do="Order the rungs from many networks to few",
        )
