"""What whole networks say about the costs of their parts, where no part was timed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]

TURNS = 3
"""Noise is relative to the expected latency, which depends on the costs: this many turns."""
LEAST_NOISE, MOST_NOISE = 1e-4, 1.0
WIDEST, NARROWEST = 1e2, 1e-6
"""Prior standard deviations of a part's cost, as a share of a usual network's whole latency."""


@final
@dataclass(frozen=True, eq=False)
class CostPosterior:
    """Latency is `counts @ costs + noise`, the noise proportional to the latency.

    Each part's cost is Gaussian about a prior mean; parts of one group share a prior variance. These variances and the
    noise are those of largest marginal likelihood (MacKay 1992; Tipping 2001): a group that explains nothing is shrunk
    to its prior. This is the model of `hwnas.latency.posterior` with variances optimised instead of averaged over a
    grid, and without rows.
    """

    mean: Floats
    """(parts,) posterior means of the costs, in ms."""
    covariance: Floats
    """(parts, parts) of them, in ms²."""
    noise: float
    """Standard deviation of one timing around the model, relative to it."""
    prior_sd: Floats
    """(groups,) standard deviations that the marginal likelihood chose, as a share of a usual network's latency."""

    @classmethod
    def fit(
        cls, counts: Floats, ms: Floats, groups: Sequence[int] | None = None, prior_ms: Floats | None = None
    ) -> CostPosterior:
        """Infer the costs of parts from networks.

        Args:
            counts: (networks, parts) how much of each part a network holds; a column of ones is the overhead.
            ms: (networks,) positive times.
            groups: (parts,) numbered from 0; parts of one group share a prior variance, None gives each its own.
            prior_ms: (parts,) prior means of the costs, None for 0.
        """
        group = np.arange(counts.shape[1]) if groups is None else np.asarray(groups, dtype=np.intp)
        tall = np.abs(counts).max(axis=0)
        tall[tall == 0] = 1.0
        prior = np.zeros(len(tall)) if prior_ms is None else np.asarray(prior_ms, dtype=float)
        unit = float(np.median(ms))
        scaled, expected = counts / tall, ms / unit
        surplus = (ms - counts @ prior) / unit
        found = np.concatenate([[np.log(0.03)], np.zeros(int(group.max()) + 1)])
        for _ in range(TURNS):
            sums = _Sums.of(scaled / expected[:, None], surplus / expected)
            found = _likeliest(sums, group, found)
            mean, covariance = sums.posterior(found, group)
            fitted = scaled @ mean + (ms / unit - surplus)
            expected = np.where(fitted > 0.1 * ms / unit, fitted, ms / unit)
        return cls(
            prior + mean * unit / tall, covariance * np.outer(unit / tall, unit / tall),
            float(np.exp(found[0])), np.exp(found[1:]),
        )  # fmt: skip

    def predict(self, counts: Floats) -> tuple[Floats, Floats]:
        """(networks,) means and standard deviations in ms of one timing of each network."""
        means: Floats = counts @ self.mean
        variances = np.einsum("np,pq,nq->n", counts, self.covariance, counts, optimize=True)
        return means, np.sqrt(np.maximum(variances, 0.0) + (self.noise * means) ** 2)


@dataclass(frozen=True, eq=False)
class _Sums:
    """All that the marginal likelihood needs of the networks, so that their number costs nothing later."""

    networks: int
    products: Floats
    """(parts, parts) of the networks' parts with each other."""
    toward: Floats
    """(parts,) of the parts with the values."""
    square: float
    """Of the values."""

    @classmethod
    def of(cls, rows: Floats, values: Floats) -> _Sums:
        return cls(len(rows), rows.T @ rows, rows.T @ values, float(values @ values))

    def matrix(self, found: Floats, group: Integers) -> tuple[float, Floats, Floats]:
        """The noise, the prior deviations, and noise + deviations · products · deviations."""
        noise, deviations = float(np.exp(2 * found[0])), np.exp(found[1:])[group]
        matrix = np.outer(deviations, deviations) * self.products + noise * np.eye(len(group))
        return noise, deviations, matrix

    def posterior(self, found: Floats, group: Integers) -> tuple[Floats, Floats]:
        """Mean and covariance of the costs."""
        noise, deviations, matrix = self.matrix(found, group)
        inverse = np.outer(deviations, deviations) * np.linalg.inv(matrix)
        return inverse @ self.toward, noise * inverse

    def surprise(self, found: Floats, group: Integers) -> tuple[float, Floats]:
        """Negative log marginal likelihood, constants left out, with its gradient."""
        noise, deviations, matrix = self.matrix(found, group)
        inverse = np.linalg.inv(matrix)
        whitened = inverse @ (deviations * self.toward)
        mean = deviations * whitened
        left = max(self.square - float(mean @ self.toward), 0.0) / noise
        count = self.networks - len(group)
        loss = 0.5 * (left + count * 2 * float(found[0]) + float(np.linalg.slogdet(matrix)[1]))
        explained = 1 - noise * np.diag(inverse)  # of each part, by how much its cost is known better than before
        error = max(self.square - 2 * float(mean @ self.toward) + float(mean @ self.products @ mean), 0.0) / noise
        slopes = np.bincount(group, explained - whitened**2, len(found) - 1)
        return loss, np.concatenate([[self.networks - error - explained.sum()], slopes])


def _likeliest(sums: _Sums, group: Integers, first: Floats) -> Floats:
    """Logarithms of the noise and of each group's prior deviation under which the values are likeliest."""
    from scipy.optimize import minimize

    bounds = [(np.log(LEAST_NOISE), np.log(MOST_NOISE))] + [(np.log(NARROWEST), np.log(WIDEST))] * (len(first) - 1)
    starts = [first] + [np.concatenate([[noise], np.full(len(first) - 1, sd)]) for noise, sd in ((-4, -1), (-6, -3))]
    tried = [minimize(sums.surprise, start, (group,), "L-BFGS-B", jac=True, bounds=bounds) for start in starts]
    best: Floats = min(tried, key=lambda one: float(one.fun)).x
    return best
