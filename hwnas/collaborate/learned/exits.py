"""An exit at a cut: a linear classifier on the features that the frozen first operators of a network compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.posterior import Floats

POOLED = 2
"""Cells along each side of a map that features are averaged in."""
EXIT_PENALTY = 1e-3
"""Of squared weights of standardised features, against the mean cross-entropy."""
STEPS = 60


def exit_features(boundary: NDArray[Any]) -> Floats:
    """Return (N, features) of (N, ...) boundaries: means over a grid of at most 2 cells along each axis after the
    channels.

    >>> exit_features(np.ones((3, 8, 5, 4))).shape, exit_features(np.ones((3, 7))).shape
    ((3, 32), (3, 7))
    """
    means = np.asarray(boundary, dtype=float)
    for axis in range(2, means.ndim):
        parts = np.array_split(means, min(POOLED, means.shape[axis]), axis=axis)
        means = np.concatenate([part.mean(axis=axis, keepdims=True) for part in parts], axis=axis)
    features: Floats = means.reshape(len(means), -1)
    return features


def fit_exit(features: Floats, labels: NDArray[Any], classes: int) -> Floats:
    """Return (features + 1, classes) weights of the logits, the intercepts last, by multinomial logistic regression."""
    import torch

    from hwnas.supernet.optimizers import eager

    means, spreads = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    rows, targets = torch.from_numpy((features - means) / spreads), torch.from_numpy(np.asarray(labels))
    theta = torch.zeros(features.shape[1] + 1, classes, dtype=torch.float64, requires_grad=True)
    optimizer = eager(torch.optim.LBFGS)([theta], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(rows @ theta[:-1] + theta[-1], targets)
        value = value + EXIT_PENALTY * (theta[:-1] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    solution = theta.detach().numpy()
    weights = solution[:-1] / spreads[:, None]
    return np.concatenate([weights, [solution[-1] - means @ weights]])


def exit_logits(weights: Floats, features: Floats) -> Floats:
    """Return (N, classes) logits of an exit."""
    logits: Floats = features @ weights[:-1] + weights[-1]
    return logits
