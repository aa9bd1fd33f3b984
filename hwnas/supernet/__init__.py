"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.channels import Group, elastic_groups
from hwnas.supernet.recipe import Recipe
from hwnas.supernet.resume import Epoch, identity_of, load_trained
from hwnas.supernet.sorting import Sorting, sort_channels
from hwnas.supernet.statistics import accuracy, calibration_images, recalibrate, settled
from hwnas.supernet.strategies import STRATEGIES, Lesson, Step, Strategy
from hwnas.supernet.train import train
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
