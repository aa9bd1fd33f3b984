"""Shared weights of a space, their training, and networks taken out of them."""

from hwnas.supernet.batchnorm import calibration_inputs, estimate, evaluate, extract_recalibrated, quality, recalibrate
from hwnas.supernet.slicing.channel_groups import elastic_groups
from hwnas.supernet.slicing.channel_sorting import Sorting, sort_channels
from hwnas.supernet.strategies import STRATEGIES, SampledSubnet, Step, Strategy
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.resume import Epoch, identity_of, load_trained
from hwnas.supernet.training.train import train
from hwnas.supernet.weights import Supernet

__all__ = [
    "STRATEGIES",
    "Epoch",
    "Recipe",
    "SampledSubnet",
    "Sorting",
    "Step",
    "Strategy",
    "Supernet",
    "calibration_inputs",
    "elastic_groups",
    "estimate",
    "evaluate",
    "extract_recalibrated",
    "identity_of",
    "load_trained",
    "quality",
    "recalibrate",
    "sort_channels",
    "train",
]
