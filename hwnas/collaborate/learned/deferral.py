"""A deferral rule that is learned from a pair's answers: logistic regression on the confidences of the task's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.posterior import Floats

RULE = "learned"
LEAST_DOUBT = 1e-4
"""Added to doubts, of which logarithms are taken."""
PENALTY = 1.0
"""Of squared weights of standardised features, against the sum of log losses."""
NEWTON_STEPS = 50


@dataclass(frozen=True)
class LearnedDeferral:
    """The probability that the cloud's answer is not better than the edge's, by the edge's confidences.

    The logit is `intercept + sum(weight * -ln(1 - confidence + 1e-4))` over the rules that it is made of.

    Args:
        weights: by the rule of the confidence.
        intercept: of the logit.
    """

    weights: Mapping[str, float]
    intercept: float

    def confidence(self, confidences: Mapping[str, NDArray[Any]]) -> Floats:
        """Return (N,) probabilities from (N,) confidences by rule.

        Example:
            >>> rule = LearnedDeferral({"margin": 1.0}, 0.0)
            >>> rule.confidence({"margin": np.array([0.0, 0.5, 0.9])}).round(2).tolist()
            [0.5, 0.67, 0.91]
        """
        logit = self.intercept + sum(weight * _feature(confidences[rule]) for rule, weight in self.weights.items())
        probability: Floats = 1 / (1 + np.exp(-logit))
        return probability

    def as_dict(self) -> dict[str, Any]:
        """Return the coefficients ready for JSON."""
        return {"weights": dict(self.weights), "intercept": self.intercept}


def fit_deferral(confidences: Mapping[str, NDArray[Any]], keeps: Floats) -> LearnedDeferral | None:
    """Return the rule that is most likely under a penalty on its weights, by Newton's method.

    Args:
        confidences: (N,) of the edge's answers, by rule.
        keeps: (N,) 1 where the cloud's answer is not better than the edge's, else 0.

    Returns:
        The rule; None if there are fewer than two confidences to combine, or nothing to learn: one network is never the
        better one.
    """
    if len(confidences) < 2 or keeps.min() == keeps.max():
        return None
    features = np.column_stack([_feature(values) for values in confidences.values()])
    means, spreads = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    rows = np.column_stack([np.ones(len(keeps)), (features - means) / spreads])
    penalties = np.diag([1e-9, *[PENALTY] * features.shape[1]])
    theta = np.zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-rows @ theta))
        slope = rows.T @ (likely - keeps) + penalties @ theta
        curvature = (rows * (likely * (1 - likely))[:, None]).T @ rows + penalties
        step = np.linalg.solve(curvature, slope)
        theta = theta - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    weights = theta[1:] / spreads
    return LearnedDeferral(dict(zip(confidences, map(float, weights), strict=True)), float(theta[0] - weights @ means))


def _feature(confidence: NDArray[Any]) -> Floats:
    """Return the negative logarithm of doubts."""
    values: Floats = -np.log(1 - np.asarray(confidence, dtype=float) + LEAST_DOUBT)
    return values
