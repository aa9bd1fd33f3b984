"""Correction of sums of operators by whole-network timings: Bayesian linear regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

NOISE_LEVELS = (0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
"""Standard deviations of a timed network around the model, relative to the network; weighed by the evidence."""
DEVIATION = (0.01, 0.03, 0.1, 0.3)
"""Standard deviations of an operator's cost in a network around its cost alone, relative to it; weighed likewise."""
USUAL_NOISE, USUAL_DEVIATION = (0.018, 1.0), (0.02, 1.2)
"""Usual values of both on real tables: median and standard deviation of the logarithm. A few checks that happen to
agree should not make the model surer than tables are."""
CORRELATION_LEVELS = (0.0, 0.03, 0.1, 0.3)
"""The same of the deviation that operators which are alike have in common."""
SLOPE = (0.0, 0.03, 0.1)
"""Prior standard deviations of how much more an operator deviates that costs e times as much: a large operator fits
into the caches while it is timed alone, and finds them full in a network. Weighed likewise."""
SCALE_SD = 0.3
"""Prior standard deviation of the scale."""
OVERHEAD_SD = 1.0
"""Prior standard deviation of the overhead, relative to the identity model's. Looser, it takes up what grows faster
than linearly in large networks (caches), and the smallest networks come out below zero."""
NEGLIGIBLE = 0.01
"""Members of the mixture with a smaller share of the largest weight are left out."""


@dataclass(frozen=True, eq=False)
class RowCosts:
    """Costs of operators by their rows, before any whole network was timed."""

    ms: Floats
    """(operators,) each one's time alone, overhead taken off."""
    doubts: Floats
    """(operators,) relative variances of the uncertainty of these times: 0 for a row that was measured."""
    alike: Places
    """(operators,) equal numbers, counted from 0, for operators that are alike."""
    counts: Floats
    """(checks, operators) how often each check holds each operator."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """Contributions of some operators to a network's latency, and their uncertainty.

    With `whole = (1, *counts)`, the latency of a network that holds them `counts` times is `constant_ms + counts @ ms`.
    The variance of one timing of it is `whole @ covariance @ whole + noise * (whole @ expected) ** 2`.
    """

    constant_ms: float
    ms: Floats
    """(operators,)"""
    covariance: Floats
    """(1 + operators, 1 + operators) of the constant and the operators, in ms²."""
    noise: float
    """Relative variance of one timing."""
    expected: Floats
    """(1 + operators,) the constant and the operators as they were expected a priori, in ms."""

    def deviations_ms(self, counts: Floats) -> Floats:
        """Return (networks,) standard deviations of one timing of each of the networks, given as (networks,
        operators)."""
        whole = np.column_stack([np.ones(len(counts)), counts])
        known = np.maximum(((whole @ self.covariance) * whole).sum(axis=1), 0.0)
        deviations: Floats = np.sqrt(known + self.noise * (whole @ self.expected) ** 2)
        return deviations

    def quantile_ms(self, counts: Floats, q: float) -> Floats:
        """Return (networks,) the latency that the next timing stays below with probability `q`."""
        ms = self.constant_ms + counts @ self.ms
        return np.maximum(ms + NormalDist().inv_cdf(q) * self.deviations_ms(counts), 0.0)

    def operator_quantile_ms(self, q: float) -> Floats:
        """Return (operators,) what each operator adds less than with probability `q`, in the mean of timings."""
        deviations = np.sqrt(np.maximum(np.diag(self.covariance)[1:], 0.0))
        quantiles: Floats = np.maximum(self.ms + NormalDist().inv_cdf(q) * deviations, 0.0)
        return quantiles


@dataclass(frozen=True, eq=False)
class Posterior:
    """Latency is `overhead + scale * sum(costs) + slope * sum(costs * log(costs)) + deviations + noise`.

    A deviation is an operator's own and that of all operators which are alike. All unknowns are Gaussian a priori: the
    overhead about the identity model's, the scale about 1, the others about 0. The sizes of noise, deviations and slope
    are not known; every combination of `NOISE_LEVELS`, `DEVIATION`, `CORRELATION_LEVELS` and `SLOPE` is one closed-form
    posterior, and predictions are their mixture, weighed by marginal likelihood (Rasmussen and Williams, Gaussian
    Processes for Machine Learning, 2006, chapters 2 and 5). The mixture is taken as one Gaussian with its mean and its
    variance.
    """

    overhead_ms: float
    usual: float
    """Mean logarithm of a cost in ms, weighed by cost, from which the slope counts: scale and slope stay apart."""
    features: Floats
    """(checks, 3) factors of overhead, scale and slope in each check."""
    groups: Floats
    """(checks, groups) ms of each check in operators that are alike."""
    residuals: Floats
    """(checks,) timed minus expected a priori."""
    weights: Floats
    """(members,) posterior weights of the combinations."""
    prior_variance: Floats
    """(members, 3) prior variances of overhead, scale and slope."""
    noise: Floats
    """(members,) squares of the relative noise."""
    deviation: Floats
    """(members,) squares of the relative deviation of each operator."""
    alike: Floats
    """(members,) squares of the relative deviation that operators which are alike have in common."""
    precision: Floats
    """(members, checks, checks) inverse covariances of the checks."""

    @cached_property
    def constant_ms(self) -> float:
        """The overhead's posterior mean."""
        nothing = np.zeros(0)
        costs = RowCosts(nothing, nothing, np.zeros(0, dtype=np.intp), np.zeros((len(self.residuals), 0)))
        return self.linear(costs)[0]

    def linear(self, costs: RowCosts) -> tuple[float, Floats]:
        """Return the constant and the (operators,) effective times in ms, means over the posterior."""
        mean: Floats = self.weights @ self._means(costs, self._across(costs))
        return float(mean[0]), mean[1:]

    def terms(self, costs: RowCosts) -> Inferred:
        """Return the same with their covariance: O(members * checks * operators²)."""
        across, weights = self._across(costs), self.weights
        means = self._means(costs, across)
        mean: Floats = weights @ means
        units = _units(costs.ms, self.usual)
        expected = units[:, :2] @ (self.overhead_ms, 1.0)
        covariance = (units * (weights @ self.prior_variance)) @ units.T
        own = (costs.alike[:, None] == costs.alike) * float(weights @ self.alike)
        own = own + np.diag(float(weights @ self.deviation) + costs.doubts)
        covariance[1:, 1:] += own * np.outer(costs.ms, costs.ms)
        gain = (weights[:, None, None] * self.precision) @ across
        covariance -= np.tensordot(across, gain, axes=((0, 1), (0, 1)))
        covariance += (weights[:, None] * (means - mean)).T @ (means - mean)
        return Inferred(float(mean[0]), mean[1:], covariance, float(weights @ self.noise), expected)

    def _across(self, costs: RowCosts) -> Floats:
        """Return (members, checks, 1 + operators) prior covariance of each check with the constant and each
        operator."""
        across: Floats = (self.features * self.prior_variance[:, None]) @ _units(costs.ms, self.usual).T
        beside = np.zeros((len(self.residuals), len(costs.ms)))
        known = costs.alike < self.groups.shape[1]
        beside[:, known] = self.groups[:, costs.alike[known]] * costs.ms[known]
        own = (self.deviation[:, None] + costs.doubts) * costs.ms**2
        across[:, :, 1:] += self.alike[:, None, None] * beside + own[:, None] * costs.counts
        return across

    def _means(self, costs: RowCosts, across: Floats) -> Floats:
        """Return (members, 1 + operators) posterior means."""
        expected = _units(costs.ms, self.usual)[:, :2] @ (self.overhead_ms, 1.0)
        means: Floats = expected + ((self.precision @ self.residuals)[:, None] @ across)[:, 0]
        return means


def fit(overhead_ms: float, costs: RowCosts, timed_ms: Floats) -> Posterior:
    """Return the posterior after whole networks, the rows of `costs.counts`, took `timed_ms`; with none, the prior."""
    shares = costs.counts * costs.ms
    usual = float(costs.ms @ _logs(costs.ms) / max(costs.ms.sum(), 1e-9))
    features = np.column_stack([np.ones(len(timed_ms)), costs.counts]) @ _units(costs.ms, usual)
    groups = shares @ (costs.alike[:, None] == np.arange(costs.alike.max(initial=-1) + 1))
    expected = features[:, :2] @ (overhead_ms, 1.0)
    residuals = timed_ms - expected
    squares = np.array(list(product(NOISE_LEVELS, DEVIATION, CORRELATION_LEVELS, SLOPE))) ** 2
    noise, deviation, alike, slope = squares.T
    shared = np.array([OVERHEAD_SD * max(overhead_ms, 1e-6), SCALE_SD]) ** 2
    prior_variance = np.column_stack([np.broadcast_to(shared, (len(squares), 2)), slope])
    covariances = (features * prior_variance[:, None]) @ features.T + (shares * costs.doubts) @ shares.T
    covariances += deviation[:, None, None] * (shares @ shares.T) + alike[:, None, None] * (groups @ groups.T)
    covariances += noise[:, None, None] * np.diag(expected**2)
    precision = np.linalg.inv(covariances)
    fits = ((precision @ residuals) * residuals).sum(axis=1)
    usual_logs = [0.5 * np.log(sizes) for sizes in (noise, deviation)]
    priors = [
        -0.5 * ((logs - np.log(median)) / sd) ** 2
        for logs, (median, sd) in zip(usual_logs, (USUAL_NOISE, USUAL_DEVIATION), strict=True)
    ]
    evidence = sum(priors) - 0.5 * (fits + np.linalg.slogdet(covariances)[1])
    weights = np.exp(evidence - evidence.max())
    kept = weights > NEGLIGIBLE
    return Posterior(
        overhead_ms,
        usual,
        features,
        groups,
        residuals,
        weights[kept] / weights[kept].sum(),
        prior_variance[kept],
        noise[kept],
        deviation[kept],
        alike[kept],
        precision[kept],
    )


def _units(ms: Floats, usual: float) -> Floats:
    """Return (1 + operators, 3) factors of overhead, scale and slope in the constant and in each operator."""
    units = np.zeros((1 + len(ms), 3))
    units[0, 0], units[1:, 1], units[1:, 2] = 1.0, ms, ms * (_logs(ms) - usual)
    return units


def _logs(ms: Floats) -> Floats:
    """Return logarithms; those of rows that cost nothing or less are low but finite."""
    return np.log(np.maximum(ms, 1e-9))
