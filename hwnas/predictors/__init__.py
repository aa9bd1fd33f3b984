"""A network's accuracy from those of a few others, with an uncertainty that is calibrated. No torch here."""

from __future__ import annotations

from hwnas.predictors.features import Features, features_of
from hwnas.predictors.model import MODELS
from hwnas.predictors.predictor import Predictor, choose

__all__ = ["MODELS", "Features", "Predictor", "choose", "features_of"]
