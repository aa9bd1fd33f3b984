"""A threshold under which a cascade is as accurate as the cloud but for epsilon, with probability 1 - delta.

The loss of a threshold is the share of samples that the edge keeps and the cloud alone has right, minus the share that
it keeps and the edge alone has right. Thresholds are fixed before the calibration samples are looked at, and tested
from the strictest to the laxest, each at the full level, until the first that is not certified (fixed-sequence testing:
Angelopoulos et al., Learn then Test, 2021). Each test is exact: two bounds of Clopper and Pearson at half the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.posterior import Floats

SEQUENCE = 100
"""Thresholds that are tested."""


@dataclass(frozen=True)
class Guarantee:
    """The promise that a threshold carries: `accuracy >= cloud - epsilon` with probability `1 - delta`.

    Args:
        epsilon: accuracy that may be lost against the cloud alone.
        delta: probability, over calibration samples, that more is lost.
        samples: number of calibration samples.
        threshold: confidence from which on the edge's answer is kept; infinity keeps none.
        bound: upper bound of the loss at that threshold.
    """

    epsilon: float
    delta: float
    samples: int
    threshold: float
    bound: float

    @property
    def keeps_any(self) -> bool:
        """True if some answers of the edge may be kept."""
        return math.isfinite(self.threshold)

    def as_dict(self) -> dict[str, float]:
        """Return it ready for JSON; only of one that keeps answers."""
        return {name: value for name, value in vars(self).items() if name != "threshold"}


def certify_threshold(
    confidence: Floats, losses: NDArray[Any], thresholds: Floats, epsilon: float, delta: float
) -> Guarantee:
    """Return the laxest threshold that is certified.

    Args:
        confidence: (N,) of the edge's answers to the calibration samples.
        losses: (N,) quality of the cloud's answer minus that of the edge's, each 0 to 1; for classes 1 where the cloud
            alone is right, -1 where the edge alone is.
        thresholds: tested from the highest on; they must not come from the calibration samples.
        epsilon: accuracy that may be lost.
        delta: probability with which more may be lost.

    Returns:
        The guarantee; its threshold is infinite if none is certified.

    Example:
        >>> confidence = np.linspace(0, 1, 2_000)
        >>> losses = (confidence < 0.3).astype(float)
        >>> certify_threshold(confidence, losses, np.array([0.9, 0.5, 0.1]), 0.01, 0.05).threshold
        0.5
    """
    strictest_first = np.sort(thresholds)[::-1]
    bounds = loss_bounds(confidence, losses, strictest_first, delta)
    broken = bounds > epsilon
    certified = int(np.argmax(broken)) if broken.any() else len(bounds)
    if not certified:
        return Guarantee(epsilon, delta, len(confidence), math.inf, 0.0)
    best = certified - 1
    return Guarantee(epsilon, delta, len(confidence), float(strictest_first[best]), float(bounds[best]))


def loss_bounds(confidence: Floats, losses: NDArray[Any], thresholds: Floats, delta: float) -> Floats:
    """Return, for each threshold, what its mean loss stays below with probability `1 - delta`.

    Losses of -1, 0 and 1 have an exact bound: that of the share that is not 0, times that of the balance among those.
    Others, between -1 and 1, have the empirical Bernstein bound of Maurer and Pontil (2009).
    """
    order = np.argsort(confidence)
    kept_from = np.searchsorted(confidence[order], thresholds, side="left")
    losses = np.asarray(losses, dtype=float)[order]

    def summed(values: NDArray[Any]) -> Floats:
        tail: Floats = np.append(np.cumsum(values[::-1])[::-1], 0)[kept_from].astype(float)
        return tail

    count = len(losses)
    if np.isin(losses, (-1.0, 0.0, 1.0)).all():
        worse, unlike = summed(losses > 0), summed(losses != 0)
        share = binomial_upper(unlike, np.full_like(unlike, count), delta / 2)
        bounds: Floats = share * np.maximum(2 * binomial_upper(worse, unlike, delta / 2) - 1, 0.0)
        return bounds
    means, log = summed(losses) / count, math.log(2 / delta)
    spreads = np.maximum(summed(losses**2) / count - means**2, 0.0) * count / max(count - 1, 1)
    return means + np.sqrt(2 * spreads * log / count) + 2 * 7 * log / (3 * max(count - 1, 1))


def binomial_upper(hits: Floats, count: Floats, delta: float) -> Floats:
    """Return Clopper and Pearson's upper bound of shares of which `hits` of `count` were seen; 1 where none were looked
    at.

    >>> binomial_upper(np.array([0.0, 7.0, 3.0]), np.array([100.0, 200.0, 3.0]), 0.05).round(4).tolist()
    [0.0295, 0.0647, 1.0]
    """
    from scipy.special import betaincinv

    some = hits < count
    bounds: Floats = np.ones_like(hits)
    bounds[some] = betaincinv(hits[some] + 1, count[some] - hits[some], 1 - delta)
    return bounds


def fixed_thresholds(confidence: Floats) -> Floats:
    """Return thresholds that keep ever more of some samples, which must not be those of the calibration."""
    shares = np.linspace(0.0, 1.0, SEQUENCE + 1)
    thresholds: Floats = np.unique(np.quantile(confidence, shares, method="lower"))
    return thresholds
