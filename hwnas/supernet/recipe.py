"""How a supernet is trained, as values: what is the same in an uninterrupted and a resumed training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How to train. Defaults suit small image networks trained from scratch."""

    epochs: int = 30
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.05
    """Peak rate, reached after `warm_up_epochs` and brought to zero along a cosine."""
    warm_up_epochs: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    clip_norm: float = 5.0
    """Bound on the norm of all gradients of a step."""
    middles: int = 2
    """Random networks a step, beside the largest and the smallest."""
    augment: str = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs forward and backward under autocast; weights and their update stay in fp32."""
    channels_last: bool = False
    """Memory layout of the activations; with bf16 it is the faster one on CPUs with matrix units, and on GPUs."""
    kernel_transform: bool = False
    """Smaller kernels are learned maps of the centres of larger ones, as in once-for-all, not the centres alone."""
    largest_epochs: int = 0
    """Epochs at the beginning in which the largest network is trained alone, before narrower ones are."""
    sort_channels_at: tuple[int, ...] = ()
    """Epochs, from 2 to the last, at whose beginning the most important channels are brought to the front."""
    calibration_batches: int = 8
    """Batches from which the normalisation statistics of a network are recomputed before it is scored."""


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay acts on matrices and kernels, not on biases and normalisation.

    Fused: one pass over each weight. It is a large part of a step, as every weight of the supernet is updated.
    """
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
    )


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The rate at a point of training, `epoch` counting from 0 in fractions."""
    if epoch < recipe.warm_up_epochs:
        return recipe.learning_rate * (epoch + 1e-2) / (recipe.warm_up_epochs + 1e-2)
    done = (epoch - recipe.warm_up_epochs) / max(recipe.epochs - recipe.warm_up_epochs, 1e-9)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything that is drawn in an epoch."""
    return seed * 1_000_003 + epoch
