"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.channels import Group, elastic_groups
from hwnas.supernet.recipe import Recipe
from hwnas.supernet.resume import Epoch, identity_of, load_trained
from hwnas.supernet.sorting import Sorting, sort_channels
from hwnas.supernet.statistics import accuracy, calibration_images, recalibrate, settled
from hwnas.supernet.train import Step, train
from hwnas.supernet.weights import Supernet

__all__ = [
    "Epoch",
    "Group",
    "Recipe",
    "Sorting",
    "Step",
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
