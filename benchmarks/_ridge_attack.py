"""Reconstruction of inputs from what is sent at a cut, by ridge regression: what an attacker gets who has the head.

It is a lower bound of what can be got: attacks by deeper networks find more (arXiv:2107.06304).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.posterior import Floats

PENALTIES = tuple(10.0**power for power in range(-8, 3))
"""Of squared weights of standardised numbers, relative to the number of samples; the best is found on a quarter of the
samples that the attacker has."""
WINDOW = 7
"""Pixels along each side of the windows of SSIM."""
STABILISERS = 0.01**2, 0.03**2
"""Of SSIM, for a range of 1."""


class Similarity(NamedTuple):
    """How like reconstructions are to inputs between 0 and 1."""

    psnr_db: float
    """Peak signal-to-noise ratio of the mean squared error; infinite of equal ones."""
    ssim: float | None
    """Mean structural similarity (Wang et al., 2004) over windows of 7 by 7 pixels; None of what is no image."""


@dataclass(frozen=True, eq=False)
class RidgeAttack:
    """A linear map from boundaries to inputs.

    Args:
        mean: (D,) of the boundaries.
        scale: (D,) their deviations.
        weights: (D, inputs) of standardised boundaries.
        intercept: (inputs,) mean of the inputs.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: Floats

    @classmethod
    def fitted(cls, boundaries: NDArray[Any], inputs: NDArray[Any]) -> RidgeAttack:
        """Return the attack of someone who has these samples, (N, ...) each, inputs between 0 and 1."""
        rows, targets = _flat(boundaries), _flat(inputs)
        quarter = max(len(rows) // 4, 1)
        tried = [cls._at(rows[quarter:], targets[quarter:], penalty) for penalty in PENALTIES]
        errors = [float(((one.invert(rows[:quarter]) - targets[:quarter]) ** 2).mean()) for one in tried]
        return cls._at(rows, targets, PENALTIES[int(np.argmin(errors))])

    @classmethod
    def _at(cls, rows: Floats, targets: Floats, penalty: float) -> RidgeAttack:
        mean, scale, intercept = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9), targets.mean(axis=0)
        standard, centred, amount = (rows - mean) / scale, targets - intercept, penalty * len(rows)
        if standard.shape[1] <= len(rows):
            gram = standard.T @ standard + amount * np.eye(standard.shape[1])
            return cls(mean, scale, np.linalg.solve(gram, standard.T @ centred), intercept)
        kernel = standard @ standard.T + amount * np.eye(len(rows))  # the same map, from the smaller system
        return cls(mean, scale, standard.T @ np.linalg.solve(kernel, centred), intercept)

    def invert(self, boundaries: NDArray[Any]) -> Floats:
        """Return (N, inputs) reconstructions, flat."""
        inverted: Floats = ((_flat(boundaries) - self.mean) / self.scale) @ self.weights + self.intercept
        return np.clip(inverted, 0.0, 1.0)


def similarity(inputs: NDArray[Any], reconstructed: NDArray[Any]) -> Similarity:
    """Return how like reconstructions are to (N, ...) inputs between 0 and 1; SSIM of (N, C, H, W) alone.

    Example:
        >>> image = np.linspace(0, 1, 128).reshape(2, 1, 8, 8)
        >>> similarity(image, image)
        Similarity(psnr_db=inf, ssim=1.0)
        >>> round(similarity(image, image * 0 + 0.5).psnr_db, 1)
        10.7
    """
    inputs = np.asarray(inputs, dtype=float)
    shown = np.asarray(reconstructed, dtype=float).reshape(inputs.shape)
    error = float(((inputs - shown) ** 2).mean())
    psnr = float("inf") if error == 0 else float(-10 * np.log10(error))
    image = inputs.ndim == 4 and min(inputs.shape[2:]) >= WINDOW
    return Similarity(psnr, _ssim(inputs, shown) if image else None)


def _ssim(first: Floats, second: Floats) -> float:
    from scipy.ndimage import uniform_filter

    def local(values: Floats) -> Floats:
        means: Floats = uniform_filter(values, size=(1, 1, WINDOW, WINDOW))
        edge = WINDOW // 2
        return means[:, :, edge:-edge, edge:-edge]

    a, b = local(first), local(second)
    spreads = local(first**2) - a**2, local(second**2) - b**2
    joint = local(first * second) - a * b
    c1, c2 = STABILISERS
    similar = (2 * a * b + c1) * (2 * joint + c2) / ((a**2 + b**2 + c1) * (spreads[0] + spreads[1] + c2))
    return float(similar.mean())


def _flat(values: NDArray[Any]) -> Floats:
    rows: Floats = np.asarray(values, dtype=float).reshape(len(values), -1)
    return rows
