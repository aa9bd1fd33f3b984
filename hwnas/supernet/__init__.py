"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.recipe import Recipe
from hwnas.supernet.resume import Epoch, identity_of, load_trained
from hwnas.supernet.statistics import accuracy, calibration_images, recalibrate, settled
from hwnas.supernet.train import Step, train
from hwnas.supernet.weights import Supernet

__all__ = [
    "Epoch",
    "Recipe",
    "Step",
    "Supernet",
    "accuracy",
    "calibration_images",
    "identity_of",
    "load_trained",
    "recalibrate",
    "settled",
    "train",
]
