"""The end of a search, a function of its evaluations: a continued one ends where an uninterrupted one does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hwnas.pareto import Tier, hypervolume, reference_point
from hwnas.search.evaluate import Evaluation

EVERY = 10
"""Trials between two looks for a plateau."""


@dataclass(frozen=True)
class EarlyStopping:
    """Rules that end a search before its number of trials is reached; None turns one off."""

    max_hours: float | None = None
    """Of scoring, all trials of all commands added up."""
    patience: int | None = None
    min_delta: float = 0.001
    """A plateau: the hypervolume of the front grew by less than this share during `patience` trials."""

    def reached(self, evaluations: Collection[Evaluation], tier: Tier) -> str:
        """Return the reason why the search ends after these evaluations; empty if it goes on."""
        if self.max_hours is not None and (spent := sum(e.elapsed_s for e in evaluations) / 3600) >= self.max_hours:
            return f"scoring took {spent:.3g} hours of {self.max_hours:g}"
        trials = self.patience
        if trials is None or len(evaluations) <= trials or len(evaluations) % EVERY:
            return ""
        gain = growth(tuple(evaluations), tier, trials)
        if gain is None or gain >= self.min_delta:
            return ""
        return f"the hypervolume grew by {gain:.2%} in the last {trials} trials, less than {self.min_delta:.2%}"


def growth(evaluations: Sequence[Evaluation], tier: Tier, trials: int) -> float | None:
    """Return the share by which the front's hypervolume grew in the last trials; None if there was none before.

    Both fronts are measured against one reference point, that of all evaluations.
    """
    now = [e.scores for e in evaluations if e.competes(tier)]
    before = [e.scores for e in evaluations[:-trials] if e.competes(tier)]
    if not before:
        return None
    reference = reference_point(now, tier.objectives)
    old = hypervolume(before, tier.objectives, reference)
    return hypervolume(now, tier.objectives, reference) / old - 1 if old > 0 else None


NO_EARLY_STOPPING = EarlyStopping()
"""The number of trials alone ends a search."""
