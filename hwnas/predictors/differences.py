"""Difference that a change makes to a metric, such as int8 in place of fp32: learned from few pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from hwnas.errors import PredictionError
from hwnas.population import Codebook, Codes
from hwnas.predictors.features import Features, features_of
from hwnas.predictors.gaussian_process import GaussianProcess
from hwnas.predictors.model import Floats
from hwnas.predictors.predictor import calibration_factor

FEWEST_PAIRS = 10
"""Pairs from which a difference can be learned."""


@final
@dataclass(frozen=True, eq=False)
class DifferencePredictor:
    """A Gaussian process on paired differences (the transfer of APQ, Wang et al. 2020, without its network).

    A difference is smaller and smoother than what it is a difference of, so few pairs suffice. Where the pairs tell
    nothing, it is their mean everywhere.
    """

    features: Features
    process: GaussianProcess | None
    center: float
    scale: float
    """Mean and standard deviation of the pairs' differences."""
    factor: float = 1.0
    """From the process' deviations to calibrated ones."""

    @classmethod
    def fit(cls, codebook: Codebook, codes: Codes, differences: ArrayLike) -> DifferencePredictor:
        """Learn from pairs.

        Args:
            codebook: of the networks' space.
            codes: (pairs, choices) the networks.
            differences: (pairs,) of each, the metric after the change less that before.

        Raises:
            PredictionError: there are too few, or one is no number.
        """
        known = np.asarray(differences, dtype=np.float64)
        if len(known) < FEWEST_PAIRS or len(known) != len(codes) or not np.isfinite(known).all():
            raise PredictionError(
                f"{len(known)} differences of {len(codes)} networks are given",
                where="predictor of a difference",
                allowed=f"It learns from {FEWEST_PAIRS} pairs or more, one finite difference for each network",
                do="Score more networks both ways",
            )
        features = features_of(codebook)
        center, scale = float(known.mean()), float(known.std())
        if scale == 0:
            return cls(features, None, center, 0.0)
        table = features(codes).astype(np.float64)
        z = (known - center) / scale
        process = GaussianProcess.fit(table, z, features.groups)
        return cls(features, process, center, scale, calibration_factor(z, *process.held_out))

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return (networks,) expected differences, and their standard deviations as one pair would tell them."""
        if self.process is None:
            return np.full(len(codes), self.center), np.zeros(len(codes))
        mean, deviation = self.process.predict(self.features(codes).astype(np.float64))
        return self.center + self.scale * mean, self.factor * self.scale * deviation
