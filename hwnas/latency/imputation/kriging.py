"""Interpolation between neighbours: a Gaussian process that looks at the nearest points only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

NEIGHBORS = 32
SAMPLE = 600
"""Points at which the likelihood is weighed: a dozen parameters need no more."""
ROUNDS = 3
"""Neighbours depend on length scales and these on neighbours; this many turns."""
KRIGING_CHUNK = 4096
ROOT3 = 3**0.5


@final
@dataclass(frozen=True, eq=False)
class Kriging:
    """A Gaussian process about 0 with a Matérn 3/2 kernel, one length scale for each coordinate, and noise.

    Each point is conditioned on its nearest neighbours alone (Vecchia 1988; Datta et al. 2016), so work grows linearly
    with the points. Length scales and variances are those under which points are likeliest given their neighbours.
    """

    points: Floats
    """(points, coordinates) divided by the length scales."""
    values: Floats
    lengths: Floats
    signal: float
    """Variance of the process."""
    noise: float
    """Variance of a value around the process."""

    @classmethod
    def fit(cls, points: Floats, values: Floats, rng: np.random.Generator) -> Kriging:
        """Interpolate `values` (points,), at least 3, at `points` (points, coordinates) of comparable spread."""
        from scipy.optimize import minimize

        coordinates, variance = points.shape[1], max(float(np.mean(values**2)), 1e-8)
        first = np.concatenate([np.full(coordinates, np.log(2.0)), np.log([0.8 * variance, 0.2 * variance])])
        bounds = [(-4.0, 6.0)] * coordinates + [(np.log(variance) - 9.0, np.log(variance) + 4.0)] * 2
        parameters = first
        for _ in range(ROUNDS):
            lengths = np.exp(parameters[:-2])
            sample = rng.permutation(len(points))[:SAMPLE]
            places = np.column_stack([sample, _others(points / lengths, sample)])
            near, there = points[places], values[places]
            parameters = minimize(
                _surprise,
                parameters,
                (near, there, first),
                "L-BFGS-B",
                jac=True,
                bounds=bounds,
                options={"maxiter": 25},
            ).x
        lengths = np.exp(parameters[:-2])
        signal, noise = np.exp(parameters[-2:])
        return cls(points / lengths, values, lengths, float(signal), float(noise))

    def knowing(self, points: Floats, values: Floats) -> Kriging:
        """Return the same process, seen at other points."""
        return Kriging(points / self.lengths, values, self.lengths, self.signal, self.noise)

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Return (points,) means and variances of a value there, noise included."""
        from scipy.spatial import cKDTree

        scaled = points / self.lengths
        places = cKDTree(self.points).query(scaled, range(1, min(NEIGHBORS, len(self.points)) + 1))[1]
        return self._conditioned(scaled, places)

    def left_out(self) -> tuple[Floats, Floats]:
        """Return the same at the points themselves, each from the others."""
        return self._conditioned(self.points, _others(self.points, np.arange(len(self.points))))

    def _conditioned(self, scaled: Floats, places: NDArray[np.intp]) -> tuple[Floats, Floats]:
        means, variances = np.empty(len(scaled)), np.empty(len(scaled))
        for start in range(0, len(scaled), KRIGING_CHUNK):
            part = slice(start, start + KRIGING_CHUNK)
            near = self.points[places[part]]
            within = self.signal * _matern(_distances(near)) + self.noise * np.eye(near.shape[1])
            across = self.signal * _matern(np.linalg.norm(near - scaled[part, None], axis=2))
            right_hand = np.stack([self.values[places[part]], across], axis=2)
            solved = np.einsum("pn,pnk->pk", across, np.linalg.solve(within, right_hand))
            means[part], variances[part] = solved[:, 0], self.signal + self.noise - solved[:, 1]
        return means, np.maximum(variances, self.noise)


def _others(points: Floats, sample: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return (sample, neighbours) the nearest points of each of a sample, itself left out also where points
    coincide."""
    from scipy.spatial import cKDTree

    count = min(NEIGHBORS, len(points) - 1)
    nearest = cKDTree(points).query(points[sample], range(1, count + 2))[1]
    itself = nearest == sample[:, None]
    itself[~itself.any(axis=1), -1] = True
    others: NDArray[np.intp] = nearest[~itself].reshape(len(sample), count)
    return others


def _distances(near: Floats) -> Floats:
    """Return (points, neighbours, neighbours) distances."""
    squares = np.sum(near**2, axis=2)
    products = near @ near.transpose(0, 2, 1)
    distances: Floats = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None] - 2 * products, 0.0))
    return distances


def _matern(distances: Floats) -> Floats:
    values: Floats = (1 + ROOT3 * distances) * np.exp(-ROOT3 * distances)
    return values


def _surprise(parameters: Floats, near: Floats, values: Floats, usual: Floats) -> tuple[float, Floats]:
    """Return the mean negative log density of the first of some points given the others, with its gradient.

    `near` is (points, 1 + neighbours, coordinates); parameters are logarithms of lengths, signal and noise. A weak pull
    to the `usual` lengths holds those that the values say nothing about.
    """
    scaled = near / np.exp(parameters[:-2])
    signal, noise = np.exp(parameters[-2:])
    distances = _distances(scaled)
    kernel, unit = signal * _matern(distances), np.eye(near.shape[1])
    joint = kernel + noise * unit
    loss, weights = _density(joint, values)
    other_loss, other_weights = _density(joint[:, 1:, 1:], values[:, 1:])
    weights[:, 1:, 1:] -= other_weights
    slopes = weights * (3 * signal * np.exp(-ROOT3 * distances))
    squares = 2 * np.einsum("pi,pid->d", slopes.sum(axis=2), scaled**2, optimize=True)
    squares -= 2 * np.einsum("pid,pid->d", scaled, slopes @ scaled, optimize=True)
    gradient = np.concatenate([squares, [np.sum(weights * kernel), noise * np.einsum("pii->", weights)]]) / len(near)
    pull = np.where(np.arange(len(parameters)) < len(parameters) - 2, parameters - usual, 0.0) / max(len(near), 50)
    return (loss - other_loss) / len(near) + 0.5 * float(pull @ (parameters - usual)), gradient + pull


def _density(covariances: Floats, values: Floats) -> tuple[float, Floats]:
    """Return summed negative log densities, constants left out, and their slopes along each entry of the
    covariances."""
    inverse = np.linalg.inv(covariances)
    solved = np.einsum("pij,pj->pi", inverse, values)
    loss = 0.5 * float(np.sum(solved * values) + np.linalg.slogdet(covariances)[1].sum())
    return loss, 0.5 * (inverse - solved[:, :, None] * solved[:, None])
