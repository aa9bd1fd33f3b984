"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.statistics import accuracy, calibration_images, recalibrate, settled
from hwnas.supernet.train import Epoch, Recipe, Step, load_trained, train
from hwnas.supernet.weights import Supernet

__all__ = [
    "Epoch",
    "Recipe",
    "Step",
    "Supernet",
    "accuracy",
    "calibration_images",
    "load_trained",
    "recalibrate",
    "settled",
    "train",
]
