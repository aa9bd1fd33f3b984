"""The belief about the learned objective: a Gaussian process that takes in one evaluation after another."""

from __future__ import annotations

from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hwnas.predictors import Predictor
from hwnas.predictors.gaussian_process import GaussianProcess

Floats: TypeAlias = NDArray[np.float64]
Table: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.intp]

ROOM = 64
"""Points by which the arrays grow."""
GROWTH = 1.2
"""Factor of growth in the number of evaluations after which the parameters are fitted anew."""


@final
class OnlineGP:
    """A predictor's process on points that are taken in one at a time, its parameters as they were fitted."""

    def __init__(self, predictor: Predictor) -> None:
        process = predictor.model
        assert isinstance(process, GaussianProcess)
        self.process, self.warp, self.count = process, predictor.warp, 0
        self._factor = predictor.factor * (1 + process.fitted / len(process.points)) ** 0.5
        self.points = np.empty((0, len(process.weights)), np.float32)
        self.lower = np.empty((0, 0))
        """The Cholesky factor of the points' covariance, noise included."""
        self.whitened = np.empty(0)
        """The points' values, multiplied by the inverse of `lower`."""

    def place(self, features: Table) -> Table:
        """Return features in the units of the process's distance."""
        placed: Table = self.process.place(features)
        return placed

    def add(self, point: Table, value: float) -> None:
        """Take in the value, as the warp gives it, at a placed point."""
        from scipy.linalg import solve_triangular

        n, process = self.count, self.process
        if n == len(self.points):
            self._grow()
        near = process.covariance(point[None], self.points[:n])[0].astype(float)
        row = solve_triangular(self.lower[:n, :n], near, lower=True, check_finite=False)
        left = np.sqrt(max(process.signal - row @ row, 0.0) + process.noise)
        self.points[n], self.lower[n, :n], self.lower[n, n] = point, row, left
        self.whitened[n] = (value - process.mean - row @ self.whitened[:n]) / left
        self.count = n + 1

    def rollback(self, count: int) -> None:
        """Go back to the first `count` points."""
        self.count = count

    def predict(self, placed: Table) -> tuple[Floats, Floats]:
        """Return (rows,) means and deviations, in the warp's scale; noise included, calibrated."""
        from scipy.linalg import solve_triangular

        n = self.count
        across = self.process.covariance(self.points[:n], placed)
        weights = solve_triangular(self.lower[:n, :n].astype(np.float32), across, lower=True, check_finite=False)
        return self.moments(weights)

    def moments(self, weights: Table) -> tuple[Floats, Floats]:
        """Return means and deviations at networks, by their whitened covariance (points, networks) with the points."""
        process = self.process
        mean = process.mean + self.whitened[: len(weights)].astype(np.float32) @ weights
        explained = np.einsum("ij,ij->j", weights, weights)
        deviation = np.sqrt(np.maximum(process.signal - explained, 0.0) + process.noise)
        return mean.astype(float), self._factor * deviation.astype(float)

    def _grow(self) -> None:
        n = self.count
        points, lower, whitened = self.points, self.lower, self.whitened
        self.points = np.zeros((n + ROOM, points.shape[1]), np.float32)
        self.lower, self.whitened = np.zeros((n + ROOM, n + ROOM)), np.zeros(n + ROOM)
        self.points[:n], self.lower[:n, :n], self.whitened[:n] = points[:n], lower[:n, :n], whitened[:n]


@final
class CachedPosterior:
    """A belief seen from a fixed table of networks: each point that was taken in costs one row, not all of them."""

    def __init__(self, gp: OnlineGP, features: Table) -> None:
        self._gp = gp
        self._placed = gp.place(features)
        self._weights = np.empty((ROOM, len(features)), np.float32)
        self._count = 0

    def predict(self) -> tuple[Floats, Floats]:
        """Return (networks,) means and deviations, as `OnlineGP.predict`."""
        gp = self._gp
        if gp.count > len(self._weights):
            more = np.empty((gp.count + ROOM - len(self._weights), self._weights.shape[1]), np.float32)
            self._weights = np.concatenate([self._weights, more])
        for n in range(min(self._count, gp.count), gp.count):
            across = gp.process.covariance(gp.points[n : n + 1], self._placed)[0]
            before = gp.lower[n, :n].astype(np.float32) @ self._weights[:n]
            self._weights[n] = (across - before) / np.float32(gp.lower[n, n])
        self._count = gp.count
        return gp.moments(self._weights[: gp.count])

    def rollback(self, count: int) -> None:
        """Go back to the first `count` points."""
        self._count = min(self._count, count)


def fitted_at(count: int, first: int) -> int:
    """Return from how many evaluations the parameters are fitted when there are `count`; from `first` on at all."""
    at = first
    while (later := max(at + 1, int(at * GROWTH))) <= count:
        at = later
    return at
