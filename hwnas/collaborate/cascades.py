"""Pairs of an edge network that answers what it is sure of and a cloud network that answers the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.guarantee import Guarantee, certify_threshold, fixed_thresholds
from hwnas.collaborate.learned.deferral import RULE, LearnedDeferral, fit_deferral
from hwnas.latency.posterior import Floats
from hwnas.words import brief

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Parts:
    """Three disjoint sets of samples, by their rows.

    Args:
        setting: samples that a search saw, on which temperatures and the thresholds to be tested are set.
        calibration: held-out samples on which thresholds are certified.
        judging: held-out samples by which plans are judged. No threshold is set on them; but the winner is chosen by
            what they show, so that its own accuracy is a little optimistic.
    """

    setting: Rows
    calibration: Rows
    judging: Rows


def split_held_out(setting: int, held_out: int, seed: int) -> Parts:
    """Return the parts of samples of which the first `setting` were seen by a search and `held_out` follow them."""
    order = setting + np.random.default_rng(seed).permutation(held_out)
    half = held_out // 2
    return Parts(np.arange(setting), np.sort(order[:half]), np.sort(order[half:]))


@brief
@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of one network to all samples of a `Parts`.

    Args:
        scores: (N,) quality of each answer, 0 to 1; for classes 1 if it is right.
        confidences: (N,) by the name of a deferral rule of the task.
        origin: of the answers: the file that gave them, or PyTorch.
        temperature: that confidences were taken at.
    """

    scores: Floats
    confidences: Mapping[str, Floats]
    origin: str
    temperature: float = 1.0


@dataclass(frozen=True)
class CascadePoint:
    """A cascade at one threshold, judged on samples on which its threshold was not set.

    Args:
        rule: deferral rule.
        threshold: confidence from which on the edge's answer is kept.
        accuracy: mean quality of the pair's answers.
        error: its standard error.
        escalated: share of samples that the cloud answers.
        guarantee: the promise of the threshold; None if it has none.
    """

    rule: str
    threshold: float
    accuracy: float
    error: float
    escalated: float
    guarantee: Guarantee | None


@dataclass(frozen=True, eq=False)
class Pair:
    """An edge and a cloud network with their answers to the same samples."""

    edge: Answers
    cloud: Answers
    parts: Parts

    @property
    def keeps(self) -> Floats:
        """(N,) 1 where the cloud's answer is not better than the edge's, else 0."""
        return (self.cloud.scores <= self.edge.scores).astype(float)

    @cached_property
    def deferral(self) -> LearnedDeferral | None:
        """The rule that is learned from the pair's answers to setting samples; None if nothing is to be learned."""
        rows = self.parts.setting
        own = {rule: values[rows] for rule, values in self.edge.confidences.items()}
        return fit_deferral(own, self.keeps[rows])

    @cached_property
    def confidences(self) -> Mapping[str, Floats]:
        """Confidences in the edge's answers by rule: those of the task, and one that is learned for the pair."""
        own = self.edge.confidences
        return own if self.deferral is None else {**own, RULE: self.deferral.confidence(own)}

    @property
    def error_correlation(self) -> float:
        """Correlation of the two networks' faults over the judging samples: 1 if they fail together; 0 where one never
        fails."""
        rows = self.parts.judging
        faults = 1 - self.edge.scores[rows], 1 - self.cloud.scores[rows]
        spreads = [fault.std() for fault in faults]
        if not len(rows) or min(spreads) < 1e-12:
            return 0.0
        joint = ((faults[0] - faults[0].mean()) * (faults[1] - faults[1].mean())).mean()
        return float(joint / (spreads[0] * spreads[1]))

    def certified(self, rule: str, epsilon: float, delta: float) -> CascadePoint | None:
        """Return the cascade with the laxest threshold that is certified; None if none is."""
        confidence, rows = self.confidences[rule], self.parts.calibration
        losses = self.cloud.scores[rows] - self.edge.scores[rows]
        thresholds = fixed_thresholds(confidence[self.parts.setting])
        guarantee = certify_threshold(confidence[rows], losses, thresholds, epsilon, delta)
        return self.at(rule, guarantee.threshold, guarantee) if guarantee.keeps_any else None

    def empirical(self, rule: str, epsilon: float) -> CascadePoint:
        """Return the cascade with the laxest threshold that loses at most `epsilon` on the calibration samples: it
        carries no promise."""
        return self.at(rule, self._laxest(rule, epsilon, self.parts.calibration), None)

    def expected(self, rule: str, epsilon: float) -> tuple[float, float]:
        """Return accuracy and escalated share of the cascade with the laxest threshold that loses at most `epsilon` on
        the setting samples, on these."""
        rows = self.parts.setting
        keeps = self.confidences[rule][rows] >= self._laxest(rule, epsilon, rows)
        scores = np.where(keeps, self.edge.scores[rows], self.cloud.scores[rows])
        return float(scores.mean()), float(1 - keeps.mean())

    def _laxest(self, rule: str, epsilon: float, rows: Rows) -> float:
        """Return the laxest threshold that loses at most `epsilon` on some samples."""
        confidence = self.confidences[rule]
        curve = cascade_curve(confidence[rows], self.edge.scores[rows], self.cloud.scores[rows])
        fit = curve.accuracy >= self.cloud.scores[rows].mean() - epsilon
        return float(curve.thresholds[int(np.flatnonzero(fit)[-1])])

    def at(self, rule: str, threshold: float, guarantee: Guarantee | None) -> CascadePoint:
        """Return the cascade at a threshold."""
        rows = self.parts.judging
        keeps = self.confidences[rule][rows] >= threshold
        scores = np.where(keeps, self.edge.scores[rows], self.cloud.scores[rows])
        error = float(scores.std() / max(len(rows), 1) ** 0.5)
        return CascadePoint(rule, threshold, float(scores.mean()), error, float(1 - keeps.mean()), guarantee)


@dataclass(frozen=True, eq=False)
class CascadeCurve:
    """All cascades of a pair by one rule, from keeping nothing to keeping everything: N + 1 thresholds.

    Args:
        thresholds: (N + 1,) falling, infinity first.
        accuracy: (N + 1,) of the pair.
        escalated: (N + 1,) share that the cloud answers.
    """

    thresholds: Floats
    accuracy: Floats
    escalated: Floats


def cascade_curve(confidence: Floats, edge_scores: NDArray[Any], cloud_scores: NDArray[Any]) -> CascadeCurve:
    """Return accuracy and escalation at every threshold that makes a difference.

    Samples of equal confidence are kept or escalated together: only the last of them is a threshold of its own, and
    the others repeat it.

    Example:
        >>> curve = cascade_curve(np.array([0.9, 0.2]), np.array([1, 0]), np.array([0, 1]))
        >>> curve.accuracy.tolist(), curve.escalated.tolist()
        ([0.5, 1.0, 0.5], [1.0, 0.5, 0.0])
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, count = confidence[order], len(confidence)
    gains = np.concatenate([[0.0], np.cumsum((np.asarray(edge_scores, float) - cloud_scores)[order])])
    last = np.concatenate([[0], np.searchsorted(-sorted_confidence, -sorted_confidence, side="right")])
    accuracy = np.mean(cloud_scores, dtype=float) + gains[last] / count
    return CascadeCurve(np.concatenate([[np.inf], sorted_confidence]), accuracy, 1 - last / count)
