"""An exact Gaussian process over groups of columns, each with a separate length scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hwnas.predictors.model import Floats, Integers

PREDICTION_CHUNK = 4096
"""Rows predicted at a time."""
ROOT5 = 5**0.5
USUAL = {"length": (np.log(1.5), 1.0), "signal": (0.0, 1.0), "noise": (-4.0, 1.4)}
"""Means and deviations of the priors of the parameters' logarithms, for targets of variance 1."""
ENOUGH = 400
"""Targets by which the parameters are chosen, at most: more hardly move so few, and cost their cube."""
STARTS = (0.0, 1.0)
"""Logarithms of the length scales at which the search for the likeliest ones begins."""


@final
@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Matérn 5/2 on the distance over all columns, those of a group divided by one length scale.

    Length scales, signal and noise are the likeliest under the targets and weak priors. `X` is standardised by group:
    columns of a group must be comparable with each other.
    """

    center: Floats
    """(columns,) what is taken off first."""
    weights: Floats
    """(columns,) by which columns are multiplied; what is left is one distance."""
    points: Floats
    mean: float
    signal: float
    noise: float
    targets: Floats
    alpha: Floats
    """(points,) the inverse of the covariance, times the targets."""
    root: Floats
    """(points, points) the inverse of the covariance's lower Cholesky factor."""
    fitted: int
    """Number of parameters that were fitted to the targets."""

    @classmethod
    def fit(cls, X: Floats, z: Floats, groups: Integers) -> GaussianProcess:
        """Learn from targets `z` (rows,), about standard normal, at `X` (rows, columns); `groups` is (columns,)."""
        center, scale = X.mean(axis=0), _spread(X, groups)
        X = X - center
        squares = [_squares(part := X[:, groups == group] / scale[groups == group], part) for group in _known(groups)]
        mean = float(z.mean())
        some = np.random.default_rng(0).permutation(len(z))[:ENOUGH]
        logs = _likeliest([square[np.ix_(some, some)] for square in squares], z[some] - mean)
        lengths, signal, noise = np.exp(logs[:-2]), float(np.exp(logs[-2])), float(np.exp(logs[-1]))
        weights = 1 / (scale * lengths[np.searchsorted(_known(groups), groups)])
        joint = _kernel(sum(s / length**2 for s, length in zip(squares, lengths, strict=True)), signal)
        root = np.linalg.inv(np.linalg.cholesky(joint + noise * np.eye(len(z))))
        alpha = root.T @ (root @ (z - mean))
        return cls(center, weights, X * weights, mean, signal, noise, z, alpha, root, len(logs))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """(rows,) means and standard deviations of a target there, noise included.

        The targets that the parameters were fitted to are matched better than others: deviations are widened by as many
        degrees of freedom.
        """
        from scipy.linalg.blas import strmm

        means, deviations = np.empty(len(X)), np.empty(len(X))
        points, root, alpha = (a.astype(np.float32) for a in (self.points, self.root, self.alpha))
        for start in range(0, len(X), PREDICTION_CHUNK):
            part = slice(start, start + PREDICTION_CHUNK)
            across = self.covariance(self.place(X[part]), points)
            means[part] = across @ alpha
            explained = np.square(strmm(1.0, root, across.T, lower=1)).sum(axis=0)
            deviations[part] = np.sqrt(np.maximum(self.signal - explained, 0.0) + self.noise)
        return self.mean + means, deviations * np.sqrt(1 + self.fitted / len(self.points))

    def place(self, X: Any) -> Any:
        """Rows in single precision as points between which one distance counts; see `covariance`."""
        return ((X - self.center) * self.weights).astype(np.float32)

    def covariance(self, a: Any, b: Any) -> Any:
        """(rows of a, rows of b) of placed rows, without noise."""
        return _kernel(_squares(a, b), self.signal)

    def denoised(self, noise: Floats) -> tuple[Floats, Floats]:
        """At the points themselves, (points,) means and deviations of what lies behind targets with noise of these
        variances, which is known.

        The part of the fitted noise that they do not explain is taken as real: a difference that no column tells.
        """
        own = max(self.noise - float(noise.mean()), 0.0)
        prior = self.covariance(self.points, self.points) + own * np.eye(len(noise))
        gain = np.linalg.solve(prior + np.diag(noise), prior)
        left = np.diag(prior) - np.einsum("ij,ij->j", prior, gain)
        return self.mean + (self.targets - self.mean) @ gain, np.sqrt(np.maximum(left, 0.0))

    @property
    def held_out(self) -> tuple[Floats, Floats]:
        """At the points themselves, each from the others under the same parameters (Rasmussen and Williams, 5.12)."""
        precision = np.square(self.root).sum(axis=0)
        return self.targets - self.alpha / precision, 1 / np.sqrt(precision)


def fit(X: Floats, z: Floats, groups: Integers, seed: int) -> GaussianProcess:
    """The process; nothing about it is left to chance."""
    return GaussianProcess.fit(X, z, groups)


def _known(groups: Integers) -> Integers:
    distinct: Integers = np.unique(groups)
    return distinct


def _spread(X: Floats, groups: Integers) -> Floats:
    """(columns,) for each group the root of its columns' summed variance; 1 where nothing varies."""
    variance = np.zeros(int(groups.max()) + 1)
    np.add.at(variance, groups, X.var(axis=0))
    variance[variance <= 1e-12 * max(float(variance.max()), 1e-300)] = 1.0
    spread: Floats = np.sqrt(variance)[groups]
    return spread


def _squares(a: Any, b: Any) -> Any:
    """(rows of a, rows of b) squared distances."""
    products = a @ b.T
    products *= -2
    products += np.square(a).sum(axis=1)[:, None]
    products += np.square(b).sum(axis=1)
    return np.maximum(products, 0, out=products)


def _kernel(squares: Any, signal: float) -> Any:
    r = np.sqrt(squares)
    r *= ROOT5
    values = np.exp(-r)
    r += 1
    values *= r + squares * (5 / 3)
    values *= signal
    return values


def _likeliest(squares: list[Floats], z: Floats) -> Floats:
    """Logarithms of the length scales, the signal and the noise."""
    from scipy.optimize import minimize

    groups = len(squares)
    names = ["length"] * groups + ["signal", "noise"]
    usual, width = np.array([USUAL[name] for name in names]).T
    bounds = [(-3.0, 6.0)] * groups + [(-4.0, 4.0), (-9.0, 1.0)]
    runs = [
        minimize(
            _surprise,
            np.array([start] * groups + [0.0, -3.0]),
            (squares, z, usual, width),
            "L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": 40},
        )
        for start in STARTS
    ]
    best: Floats = min(runs, key=lambda run: float(run.fun)).x
    return best


def _surprise(
    parameters: Floats, squares: list[Floats], z: Floats, usual: Floats, width: Floats
) -> tuple[float, Floats]:
    """Negative log density of the targets and the parameters, with its gradient."""
    scales, signal, noise = np.exp(-2 * parameters[:-2]), np.exp(parameters[-2]), np.exp(parameters[-1])
    near = sum(s * square for s, square in zip(scales, squares, strict=True))
    r = ROOT5 * np.sqrt(near)
    decay = signal * np.exp(-r)
    kernel = decay * (1 + r + near * (5 / 3))
    factor, precision = _inverted(kernel + (noise + 1e-8) * np.eye(len(z)))
    alpha = precision @ z
    outer = precision - np.outer(alpha, alpha)
    slopes = 0.5 * outer * decay * (1 + r) * (5 / 3)
    pull = (parameters - usual) / width**2
    loss = 0.5 * float(z @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(pull @ (parameters - usual))
    gradient = [s * float(np.sum(slopes * square)) for s, square in zip(scales, squares, strict=True)]
    gradient += [0.5 * float(np.sum(outer * kernel)), 0.5 * float(noise * np.trace(outer))]
    return loss, np.array(gradient) + pull


def _inverted(joint: Floats) -> tuple[Floats, Floats]:
    """The Cholesky factor and the inverse of a covariance."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(joint, lower=1)
    inverse, failed_too = dpotri(factor, lower=1)
    assert not failed, "noise keeps every covariance positive definite"
    assert not failed_too
    return factor, np.tril(inverse) + np.tril(inverse, -1).T
