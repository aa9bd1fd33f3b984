"""Confidence in a classifier's answers: rules, temperature scaling, and how far a confidence is from the accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures among which the best is looked for."""
SEARCH_STEPS = 60
CONFIDENCE_BINS = 15


def log_softmax(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """Return (N, classes) logarithms of probabilities at a temperature."""
    scaled = np.asarray(logits, dtype=float) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def class_confidences(logits: NDArray[Any], temperature: float = 1.0) -> dict[str, Floats]:
    """Return (N,) confidences by rule, all from 0 to 1: `max_prob`, `margin` to the second class, and `entropy`, which
    is 1 minus that of the probabilities relative to the largest.

    Example:
        >>> rules = class_confidences(np.array([[0.0, 0.0], [9.0, 0.0]]))
        >>> {name: values.round(2).tolist() for name, values in rules.items()}
        {'max_prob': [0.5, 1.0], 'margin': [0.0, 1.0], 'entropy': [0.0, 1.0]}
    """
    logs = log_softmax(logits, temperature)
    shares = np.exp(logs)
    second, first = np.partition(shares, -2, axis=1)[:, -2:].T
    entropy = -(shares * logs).sum(axis=1) / np.log(logits.shape[1])
    return {"max_prob": first, "margin": first - second, "entropy": np.clip(1.0 - entropy, 0.0, 1.0)}


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the temperature at which the labels are most likely (Guo et al., On Calibration, 2017).

    The likelihood has one maximum in the inverse temperature; golden-section search finds it.

    Example:
        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
        >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 2)
        1.82
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits, float(np.exp(log_temperature)))[rows, labels].mean())

    low, high, ratio = float(np.log(COLDEST)), float(np.log(HOTTEST)), (5**0.5 - 1) / 2
    for _ in range(SEARCH_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def calibration_error(confidence: Floats, right: NDArray[Any], bins: int = CONFIDENCE_BINS) -> float:
    """Return the expected calibration error: over bins of confidence, how far its mean is from the share of hits."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for number in range(bins):
        inside = bin_of == number
        if inside.any():
            error += float(inside.mean() * abs(confidence[inside].mean() - right[inside].mean()))
    return error
