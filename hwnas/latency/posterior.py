"""What whole-network timings say about sums of operators: Bayesian linear regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

NOISE = (0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
"""Standard deviations of a timed network around the model, relative to the network; weighed by the evidence."""
DEVIATION = (0.01, 0.03, 0.1, 0.3)
"""Standard deviations of an operator's cost in a network around its cost alone, relative to it; weighed likewise."""
SCALE_SD = 0.3
"""Prior standard deviation of the scale."""
OVERHEAD_SD = 1.0
"""Prior standard deviation of the overhead, relative to the identity model's. Looser, it takes up what grows faster
than linearly in large networks (caches), and the smallest networks come out below zero."""


@dataclass(frozen=True, eq=False)
class Costs:
    """Operators as the rows tell them, before any whole network was timed."""

    ms: Floats
    """(operators,) each one's time alone, overhead taken off."""
    doubts: Floats
    """(operators,) relative variances of what is not known of these times: 0 for a row that was measured."""
    counts: Floats
    """(checks, operators) how often each check holds each operator."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """What each of some operators adds to a network's latency, and how sure that is.

    The latency of a network that holds them `counts` times is `constant_ms + counts @ ms`; the variance of one timing
    of it is the quadratic form of `covariance` in `(1, *counts)`.
    """

    constant_ms: float
    ms: Floats
    """(operators,)"""
    covariance: Floats
    """(1 + operators, 1 + operators) of the constant and the operators, the noise of a timing included, in ms²."""

    def deviations_ms(self, counts: Floats) -> Floats:
        """(networks,) standard deviations of one timing of each of the networks, given as (networks, operators)."""
        whole = np.column_stack([np.ones(len(counts)), counts])
        variances: Floats = np.einsum("no,no->n", whole @ self.covariance, whole)
        return np.sqrt(np.maximum(variances, 0.0))

    def quantile_ms(self, counts: Floats, q: float) -> Floats:
        """(networks,) the latency that the next timing stays below with probability `q`."""
        ms = self.constant_ms + counts @ self.ms
        return np.maximum(ms + NormalDist().inv_cdf(q) * self.deviations_ms(counts), 0.0)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Latency is `overhead + scale * sum(costs) + the operators' own deviations + noise`.

    All unknowns are Gaussian a priori: the overhead about the identity model's, the scale about 1, each deviation about
    0. Noise and deviations have unknown sizes; every combination of `NOISE` and `DEVIATION` is one
    closed-form posterior, and predictions are their mixture, weighed by marginal likelihood.
    """

    overhead_ms: float
    prior_variance: Floats
    """(2,) prior variances of overhead and scale."""
    features: Floats
    """(checks, 2) what overhead and scale are multiplied with in each check."""
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

    @cached_property
    def constant_ms(self) -> float:
        """The overhead's posterior mean."""
        return self.linear(Costs(np.zeros(0), np.zeros(0), np.zeros((len(self.residuals), 0))))[0]

    def linear(self, costs: Costs) -> tuple[float, Floats]:
        """The constant and the (operators,) effective times in ms, means over the posterior."""
        means = self._means(costs, self._across(costs))
        mean: Floats = self.weights @ means
        return float(mean[0]), mean[1:]

    def terms(self, costs: Costs) -> Inferred:
        """The same with their covariance: O(checks * operators²)."""
        across = self._across(costs)
        means = self._means(costs, across)
        mean: Floats = self.weights @ means
        units = _features(costs)
        own = np.zeros(len(units))
        own[1:] = (self.weights @ self.deviation + costs.doubts) * costs.ms**2
        expected = units @ (self.overhead_ms, 1.0)
        covariance = (units * self.prior_variance) @ units.T + np.diag(own)
        covariance += float(self.weights @ self.noise) * np.outer(expected, expected)
        covariance -= np.einsum("m,mia,mij,mjb->ab", self.weights, across, self.precision, across, optimize=True)
        covariance += np.einsum("m,ma,mb->ab", self.weights, means - mean, means - mean, optimize=True)
        return Inferred(float(mean[0]), mean[1:], covariance)

    def _across(self, costs: Costs) -> Floats:
        """(members, checks, 1 + operators) prior covariance of each check with the constant and each operator."""
        shared = (self.features * self.prior_variance) @ _features(costs).T
        own = (self.deviation[:, None] + costs.doubts) * costs.ms**2
        across = np.repeat(shared[None], len(self.weights), axis=0)
        across[:, :, 1:] += own[:, None, :] * costs.counts
        return across

    def _means(self, costs: Costs, across: Floats) -> Floats:
        """(members, 1 + operators) posterior means."""
        expected = _features(costs) @ (self.overhead_ms, 1.0)
        means: Floats = expected + np.einsum("mia,mij,j->ma", across, self.precision, self.residuals, optimize=True)
        return means

    @property
    def left_out_ms(self) -> Floats:
        """(checks,) for each check, timed minus predicted by the others."""
        diagonal = np.einsum("mii->mi", self.precision)
        errors: Floats = self.weights @ ((self.precision @ self.residuals) / diagonal)
        return errors


def fit(overhead_ms: float, costs: Costs, timed_ms: Floats) -> Posterior:
    """The posterior after whole networks, the rows of `costs.counts`, took `timed_ms`."""
    counts = np.column_stack([np.ones(len(timed_ms)), costs.counts])
    features = counts @ _features(costs)
    prior_variance = np.array([OVERHEAD_SD * max(overhead_ms, 1e-6), SCALE_SD]) ** 2
    expected = features @ (overhead_ms, 1.0)
    residuals = timed_ms - expected
    shared = (features * prior_variance) @ features.T
    shares = costs.counts * costs.ms
    squares = np.array([(noise**2, deviation**2) for noise, deviation in product(NOISE, DEVIATION)])
    own = shares @ shares.T, (shares * costs.doubts) @ shares.T
    covariances = shared + own[1] + squares[:, 1, None, None] * own[0]
    covariances = covariances + squares[:, 0, None, None] * np.diag(expected**2)
    precision = np.linalg.inv(covariances)
    fits = np.einsum("i,mij,j->m", residuals, precision, residuals)
    evidence = -0.5 * (fits + np.linalg.slogdet(covariances)[1])
    weights = np.exp(evidence - evidence.max())
    kept = weights > 1e-3 * weights.sum()
    return Posterior(
        overhead_ms, prior_variance, features, residuals, weights[kept] / weights[kept].sum(),
        squares[kept, 0], squares[kept, 1], precision[kept],
    )  # fmt: skip


def _features(costs: Costs) -> Floats:
    """(1 + operators, 2) what overhead and scale are multiplied with in the constant and in each operator."""
    units = np.zeros((1 + len(costs.ms), 2))
    units[0, 0], units[1:, 1] = 1.0, costs.ms
    return units
