"""Multinomial logistic regression by L-BFGS, in numpy. Python 3.9 syntax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HEAD_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the penalty that are tried."""
LBFGS_HISTORY = 10
MOST_LBFGS_STEPS = 300
GRADIENT_TOLERANCE = 1e-6
SUFFICIENT, STEP_SHRINKAGE, MOST_HALVINGS = 1e-4, 0.5, 30


@dataclass(frozen=True)
class Head:
    """A linear layer on features.

    Args:
        weight: (classes, features).
        bias: (classes,).
        classes: their names, in the order of the rows.
    """

    weight: Array
    bias: Array
    classes: tuple[str, ...]

    def logits(self, features: Array) -> Array:
        """Return (N, classes) of features (N, width)."""
        return features @ self.weight.T + self.bias

    def accuracy(self, features: Array, labels: Array) -> float:
        """Return the share of samples whose class is named."""
        return float((self.logits(features).argmax(1) == labels).mean())


def matched_rows(head: Head, classes: Sequence[str]) -> Head:
    """Return a head for other classes: one of the same name keeps its row, a new one begins at zero.

    Example:
        >>> old = Head(np.ones((2, 3)), np.ones(2), ("cat", "dog"))
        >>> matched_rows(old, ("bird", "dog")).bias.tolist()
        [0.0, 1.0]
    """
    weight, bias = np.zeros((len(classes), head.weight.shape[1])), np.zeros(len(classes))
    for row, name in enumerate(classes):
        if name in head.classes:
            own = head.classes.index(name)
            weight[row], bias[row] = head.weight[own], head.bias[own]
    return Head(weight, bias, tuple(classes))


def fitted(features: Array, labels: Array, start: Head, strength: float) -> Head:
    """Return the head of the least cross-entropy, with a penalty on its distance from the rows that it starts with.

    Features are scaled to unit deviation while it is fitted, so that one strength suits all of them.

    Args:
        features: (N, width).
        labels: (N,) rows of `start`.
        start: rows of known classes, zeros for new ones.
        strength: of the penalty, half of which times the squared distance is added to the mean loss.
    """
    x, mean, scale = standardised(features)
    centre = start.weight * scale
    target = np.eye(len(start.classes))[labels]

    def loss(flat: Array) -> tuple[float, Array]:
        own = flat.reshape(len(start.classes), -1)
        logits = x @ own[:, :-1].T + own[:, -1]
        logits -= logits.max(1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(1, keepdims=True))
        apart = own[:, :-1] - centre
        error = (np.exp(logits - log_sum) - target) / len(x)
        value = float((log_sum[:, 0] - (logits * target).sum(1)).mean() + strength / 2 * (apart**2).sum())
        gradient = np.hstack([error.T @ x + strength * apart, error.sum(0)[:, None]])
        return value, gradient.ravel()

    first = np.hstack([centre, (start.bias + start.weight @ mean)[:, None]])
    best = minimised(loss, first.ravel()).reshape(first.shape)
    weight = best[:, :-1] / scale
    return Head(weight, best[:, -1] - weight @ mean, start.classes)


def standardised(features: Array) -> tuple[Array, Array, Array]:
    """Return features of mean 0 and deviation 1, with their means and deviations; constant ones are only centred."""
    x = np.asarray(features, np.float64)
    mean, deviation = x.mean(0), x.std(0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1.0)
    return (x - mean) / scale, mean, scale


def minimised(loss: Callable[[Array], tuple[float, Array]], x: Array) -> Array:
    """Return where a smooth function is least, by L-BFGS with a backtracking line search (Nocedal, 1980)."""
    value, gradient = loss(x)
    moves: list[tuple[Array, Array, float]] = []
    for _ in range(MOST_LBFGS_STEPS):
        if np.abs(gradient).max() < GRADIENT_TOLERANCE:
            break
        direction = -_scaled(gradient, moves)
        slope, step = float(gradient @ direction), 1.0 if moves else min(1.0, 1 / float(np.abs(gradient).sum()))
        for _ in range(MOST_HALVINGS):
            after, after_gradient = loss(x + step * direction)
            if after <= value + SUFFICIENT * step * slope:
                break
            step *= STEP_SHRINKAGE
        else:
            break
        move, change = step * direction, after_gradient - gradient
        if (curvature := float(move @ change)) > 1e-12:
            moves = [*moves[1 - LBFGS_HISTORY :], (move, change, 1 / curvature)]
        x, value, gradient = x + move, after, after_gradient
    return x


def _scaled(gradient: Array, moves: Sequence[tuple[Array, Array, float]]) -> Array:
    """Return the gradient times the inverse curvature of earlier moves."""
    out = gradient.copy()
    shares: list[float] = []
    for move, change, inverse in reversed(moves):
        shares.append(inverse * float(move @ out))
        out -= shares[-1] * change
    if moves:
        move, change, inverse = moves[-1]
        out /= inverse * float(change @ change)
    for (move, change, inverse), share in zip(moves, shares[::-1]):
        out += (share - inverse * float(change @ out)) * move
    return out


@dataclass(frozen=True)
class Fit:
    """A head with how it was chosen.

    Args:
        head: fitted on all samples.
        strength: of the penalty, chosen on samples that were held out.
        accuracy: on further samples, by a head that saw neither.
        samples: number of those.
    """

    head: Head
    strength: float
    accuracy: float | None
    samples: int


def fit(features: Array, labels: Array, start: Head, seed: int = 0) -> Fit:
    """Return the head for labelled features: three fifths are learned from, one chooses the penalty, one judges.

    Each class is divided so; with fewer than five samples of a class all of its samples are learned from.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    part = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        part[own] = np.where(len(own) >= 5, np.arange(len(own)) % 5, 0)
    learned, chosen, judged = part < 3, part == 3, part == 4
    if not chosen.any():
        return Fit(fitted(features, labels, start, HEAD_PENALTIES[2]), HEAD_PENALTIES[2], None, 0)
    heads = [fitted(features[learned], labels[learned], start, strength) for strength in HEAD_PENALTIES]
    losses = [cross_entropy(head.logits(features[chosen]), labels[chosen]) for head in heads]
    best = int(np.argmin(losses))
    accuracy = heads[best].accuracy(features[judged], labels[judged])
    return Fit(fitted(features, labels, start, HEAD_PENALTIES[best]), HEAD_PENALTIES[best], accuracy, int(judged.sum()))


def cross_entropy(logits: Array, labels: Array) -> float:
    """Return the mean cross-entropy of logits."""
    shifted = logits - logits.max(1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(1)) - chosen).mean())
