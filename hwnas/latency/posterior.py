"""What whole-network timings say about sums of operators: Bayesian linear regression in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

NOISE = (0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
"""Standard deviations of a timed network around the model, relative to the network; weighed by the evidence."""
DEVIATION = (0.01, 0.03, 0.1, 0.3)
"""Standard deviations of an operator's cost in a network around its cost alone, relative to it; weighed likewise."""
SCALE_SD = 0.3
"""Prior standard deviation of the scale."""
OVERHEAD_SD = 1.0
"""Prior standard deviation of the overhead, relative to the identity model's. Looser, it takes up what grows faster
than linearly in large networks (caches), and the smallest networks come out below zero."""
Z90 = 1.6449


@dataclass(frozen=True, eq=False)
class Posterior:
    """Latency is `overhead + scale * sum(costs) + the operators' own deviations + noise`.

    All unknowns are Gaussian a priori: the overhead about the identity model's, the scale about 1, each deviation about
    0. Noise and deviations have unknown sizes; every combination of `NOISE` and `DEVIATION` is one
    closed-form posterior, and predictions are their mixture, weighed by marginal likelihood.
    """

    costs: Floats
    """(operators,) costs of the operators alone, overhead taken off, in ms."""
    prior: Floats
    """(2,) prior means of overhead and scale."""
    prior_variance: Floats
    """(2,) their prior variances."""
    features: Floats
    """(checks, 2) what overhead and scale are multiplied with in each check."""
    shares: Floats
    """(checks, operators) cost of each operator in each check, repeats added up."""
    residuals: Floats
    """(checks,) timed minus expected a priori."""
    weights: Floats
    """(members,) posterior weights of the combinations of noise and deviation."""
    noise: Floats
    """(members,) squares of the relative noise."""
    deviation: Floats
    """(members,) squares of the relative deviation."""
    precision: Floats
    """(members, checks, checks) inverse covariances of the checks."""

    def predict(self, places: Places) -> tuple[float, float]:
        """Mean and standard deviation in ms of one timing of the network whose operators stand at `places`."""
        features = _features(self.costs, places)
        own, counts = np.unique(places, return_counts=True)
        share = counts * self.costs[own]
        expected = features @ self.prior
        shared = self.features @ (self.prior_variance * features)
        across = shared + self.deviation[:, None] * (self.shares[:, own] @ share)  # (members, checks)
        gain = np.einsum("mij,mj->mi", self.precision, across)
        means = expected + gain @ self.residuals
        variances = features**2 @ self.prior_variance + self.deviation * (share @ share) + self.noise * expected**2
        variances = variances - np.einsum("mi,mi->m", gain, across)
        mean = float(self.weights @ means)
        return mean, math.sqrt(float(self.weights @ (variances + (means - mean) ** 2)))

    @property
    def left_out_ms(self) -> Floats:
        """(checks,) for each check, timed minus predicted by the others."""
        diagonal = np.einsum("mii->mi", self.precision)
        errors: Floats = self.weights @ ((self.precision @ self.residuals) / diagonal)
        return errors


def fit(overhead_ms: float, costs: Floats, checks: list[Places], timed_ms: Floats) -> Posterior:
    """The posterior after whole networks, given as places of their operators in `costs`, took `timed_ms`."""
    features = np.stack([_features(costs, places) for places in checks])
    prior = np.array([overhead_ms, 1.0])
    expected = features @ prior
    prior_variance = np.array([OVERHEAD_SD * max(overhead_ms, 1e-6), SCALE_SD]) ** 2
    shares = np.zeros((len(checks), len(costs)))
    for row, places in zip(shares, checks, strict=True):
        np.add.at(row, places, costs[places])
    residuals = timed_ms - expected
    shared, own = (features * prior_variance) @ features.T, shares @ shares.T
    squares = np.array([(noise**2, deviation**2) for noise, deviation in product(NOISE, DEVIATION)])
    covariances = shared + squares[:, 1, None, None] * own + squares[:, 0, None, None] * np.diag(expected**2)
    precision = np.linalg.inv(covariances)
    fits = np.einsum("i,mij,j->m", residuals, precision, residuals)
    evidence = -0.5 * (fits + np.linalg.slogdet(covariances)[1])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    kept = weights > 1e-3 * weights.max()
    return Posterior(
        costs, prior, prior_variance, features, shares, residuals, weights[kept] / weights[kept].sum(),
        squares[kept, 0], squares[kept, 1], precision[kept],
    )  # fmt: skip


def _features(costs: Floats, places: Places) -> Floats:
    return np.array([1.0, costs[places].sum()])
