"""Fronts of noisy accuracies: decided by shrunken estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hwnas.accuracy import Accuracy
from hwnas.accuracy.by_precision import producers_of
from hwnas.pareto import Tier
from hwnas.search.evaluate import Evaluation, standard_error_of
from hwnas.search.fronts import FrontPoint, ShrunkenEstimate, tier_front
from hwnas.search.precision import stored_as
from hwnas.search.score_store import ScoreStore
from hwnas.workspace.workspace import Workspace


def errors_of(
    evaluations: Iterable[Evaluation], metric: str, accuracy: Accuracy, store: ScoreStore
) -> dict[str, float]:
    """Return the standard errors of accuracies, by key: as they were stored, else as their source tells them."""
    errors = {}
    for evaluation in evaluations:
        if metric not in evaluation.scores:
            continue
        architecture, producer = stored_as(evaluation.architecture, producers_of(accuracy))
        score = store.get(architecture, metric, producer)
        error = None if score is None else score.error
        error = standard_error_of(accuracy, evaluation.scores[metric]) if error is None else error
        if error is not None:
            errors[evaluation.architecture.key] = error
    return errors


def estimated_front(
    run: Workspace,
    tier: Tier,
    evaluations: Sequence[Evaluation],
    errors: Mapping[str, float],
    origin: Mapping[str, str],
) -> list[FrontPoint]:
    """Return the front of a tier with standard errors of its accuracies, by shrunken estimates where these are noisy.

    Args:
        run: the run.
        tier: whose front it is.
        evaluations: all networks with an accuracy: the estimates are learned from them.
        errors: standard errors of their accuracies, by key; exact accuracies have none, or 0.
        origin: of the scores, by metric.
    """
    from hwnas.population import codebook_of
    from hwnas.search.shrinkage import shrunken

    metric, estimates = tier.quality.metric, dict[str, ShrunkenEstimate]()
    if any(errors.values()):  # a new codebook: features follow what one has met, and a resumed search meets less
        estimates = shrunken(evaluations, tier.quality, errors, codebook_of(run.space))
    return [
        replace(point, errors={metric: errors[key]} if (key := point.candidate.key) in errors else {})
        for point in tier_front(evaluations, tier, origin, estimates)
    ]
