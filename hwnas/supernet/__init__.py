"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.batchnorm import accuracy, calibration_images, recalibrate, settled
from hwnas.supernet.slicing.channel_groups import Group, elastic_groups
from hwnas.supernet.slicing.channel_sorting import Sorting, sort_channels
from hwnas.supernet.strategies import STRATEGIES, Lesson, Step, Strategy
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.resume import Epoch, identity_of, load_trained
from hwnas.supernet.training.train import train
from hwnas.supernet.weights import Supernet

__all__ = [
    "STRATEGIES",
    "Epoch",
    "Group",
    "Lesson",
    "Recipe",
    "Sorting",
    "Step",
    "Strategy",
    "Supernet",
    "accuracy",
    "calibration_images",
    "elastic_groups",
    "identity_of",
    "load_trained",
    "recalibrate",
    "settled",
    "sort_channels",
    "train",
]
