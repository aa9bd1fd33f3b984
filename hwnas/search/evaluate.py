"""Evaluating an architecture: cheap scores before dear ones, and none after a broken limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hwnas.errors import ConfigError, HostAway, HwnasError, MissingExtra, TableError, did_you_mean, raised
from hwnas.pareto import Scores, Tier
from hwnas.search.precision.candidate import Producers, split_candidate, stored_as
from hwnas.search.score_store import Score, ScoreBook, timestamp
from hwnas.space import Architecture
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.words import brief

Scorer = Callable[[Architecture], float]


@runtime_checkable
class HasStandardError(Protocol):
    """A scorer that knows how far chance moves its scores."""

    def standard_error(self, score: float) -> float | None:
        """Return the standard error of a score, in its unit; None if it is not known."""


def standard_error_of(scorer: object, score: float) -> float | None:
    """Return the standard error of a scorer's score; None if the scorer does not know it."""
    return scorer.standard_error(score) if isinstance(scorer, HasStandardError) else None


@runtime_checkable
class HasPairedCounts(Protocol):
    """A scorer that compares a network in a lower precision with itself in fp32, sample by sample."""

    def paired_counts(self, candidate: Architecture) -> PairedCounts | None:
        """Return the counts of a candidate that was scored last; None if it was not compared."""

    def simulated(self, candidate: Architecture) -> float | None:
        """Return the simulated score of a candidate that was scored last by its file; None if it was not."""


def paired_counts_of(scorer: object, candidate: Architecture) -> PairedCounts | None:
    """Return the paired counts of a scorer's last score; None if it keeps none."""
    return scorer.paired_counts(candidate) if isinstance(scorer, HasPairedCounts) else None


def simulated_of(scorer: object, candidate: Architecture) -> float | None:
    """Return what was simulated of a scorer's last score, if that is a file's; None if not."""
    return scorer.simulated(candidate) if isinstance(scorer, HasPairedCounts) else None


@brief
@dataclass(frozen=True)
class Evaluation:
    """An architecture with its scores. After a broken limit or a failure the dearer scores are missing."""

    architecture: Architecture
    scores: Scores
    broken: tuple[str, ...] = ()
    """The limits that the scores break, as text."""
    elapsed_s: float = 0.0
    failed: str | None = None
    """Reason why a score could not be computed."""
    deaths: int = 0
    """Number of workers that died while they scored it; the next command tries such a failure once more."""

    def competes(self, tier: Tier) -> bool:
        """Return whether it may stand on the tier's front: all objectives scored, no limit broken, nothing failed."""
        scored = all(objective.metric in self.scores for objective in tier.objectives)
        return self.failed is None and scored and not tier.broken(self.scores)


def evaluation_rows(evaluations: Iterable[Evaluation], origin: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each evaluation in order: scores by metric, each with its origin, then choices.

    Where a tier's search chooses precisions, each row has one.

    Args:
        evaluations: of a study.
        origin: word for each metric, such as `predicted`.
    """
    evaluations = tuple(evaluations)
    networks = [split_candidate(e.architecture) for e in evaluations]
    return [
        {"trial": number, "key": architecture.key, **({} if precision is None else {"precision": precision})}
        | {name: v for m, score in e.scores.items() for name, v in ((m, score), (f"{m} origin", origin.get(m)))}
        | {"broken": "; ".join(e.broken), "failed": e.failed, "elapsed_s": e.elapsed_s}
        | architecture.columns
        for number, (e, (architecture, precision)) in enumerate(zip(evaluations, networks, strict=True), 1)
    ]


def evaluate(
    architecture: Architecture,
    scorers: Mapping[str, Scorer],
    tier: Tier,
    store: ScoreBook | None = None,
    producers: Producers | None = None,
) -> Evaluation:
    """Ask the scorers (metric -> function) in order, until one breaks a limit of the tier or fails.

    A metric that `producers` lists is looked up in the store and computed only if it is not there. A scorer that
    raises or gives NaN makes a failed evaluation: the reason is recorded, the search goes on.

    Raises:
        ConfigError: no scorer for a metric of the tier; or raised by a scorer, as HostAway, MissingExtra and TableError
            are: such an error is about the set-up, so other architectures would meet it too.
    """
    _check(scorers, tier)
    started = time.monotonic()
    scores: dict[str, float] = {}
    broken: tuple[str, ...] = ()
    failed: str | None = None
    for metric, scorer in scorers.items():
        producer = (producers or {}).get(metric)
        if store is None or producer is None:
            value, failed = safe_score(scorer, architecture)
        else:
            value, failed = _stored(scorer, architecture, metric, store, producer)
        if value is None:
            failed = f"{metric}: {failed}"
            break
        scores[metric] = value
        if broken := tier.broken(scores):
            break
    return Evaluation(architecture, scores, broken, time.monotonic() - started, failed)


def _stored(
    scorer: Scorer, candidate: Architecture, metric: str, store: ScoreBook, producer: str | Mapping[str, str]
) -> tuple[float | None, str | None]:
    architecture, producer = stored_as(candidate, producer)
    score = store.get(architecture, metric, producer)
    if score is None:
        started = time.monotonic()
        value, failed = safe_score(scorer, candidate)
        elapsed_s = time.monotonic() - started
        if value is None:
            score = store.record_failure(architecture, metric, str(failed), producer=producer, elapsed_s=elapsed_s)
        else:
            error = standard_error_of(scorer, value)
            pairs = paired_counts_of(scorer, candidate)
            simulated = simulated_of(scorer, candidate)
            score = store.add(
                Score(architecture, metric, producer, value, None, elapsed_s, timestamp(), error, pairs, simulated)
            )
    return score.value, score.failed


def safe_score(scorer: Scorer, architecture: Architecture) -> tuple[float | None, str | None]:
    """Return a finite score, or the reason why there is none; errors about the set-up are raised, see `evaluate`."""
    try:
        value = float(scorer(architecture))
    except (ConfigError, HostAway, MissingExtra, TableError):
        raise
    except (HwnasError, RuntimeError, ValueError, FloatingPointError) as error:
        return None, raised(error)
    if not math.isfinite(value):
        return None, f"the score is {value}"
    return value, None


def _check(scorers: Mapping[str, Scorer], tier: Tier) -> None:
    wanted = [objective.metric for objective in tier.objectives] + [limit.metric for limit in tier.limits]
    for metric in wanted:
        if metric not in scorers:
            raise ConfigError(
                f"nothing scores the metric `{metric}`",
                where=f"tier `{tier.name}`",
                allowed=did_you_mean(metric, scorers),
                do="Add a scorer, or remove the objective or limit",
            )
