"""Training one network on its own, under the budget of the supernet: what inherited accuracies are compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hwnas.data import Dataset, batches
from hwnas.network import Network, build
from hwnas.supernet.recipe import Recipe, epoch_seed, learning_rate, make_optimizer
from hwnas.supernet.statistics import calibration_images, recalibrate
from hwnas.supernet.weights import resized


def train_alone(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """A network trained from its own initial weights, on the labels, with the same images, epochs and learning rates.

    `on_epoch` is told the epoch and its mean loss. The result is in eval mode, its statistics recalibrated as those of
    a sub-network are.
    """
    with torch.random.fork_rng(devices=[]):
        return _train_alone(network, dataset, recipe, seed, on_epoch)


def _train_alone(
    network: Network, dataset: Dataset, recipe: Recipe, seed: int, on_epoch: Callable[[int, float], None] | None
) -> nn.Module:
    torch.manual_seed(seed)
    module = build(network)
    optimizer = make_optimizer(module, recipe)
    steps = len(dataset.train) // recipe.batch_size
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    for epoch in range(1, recipe.epochs + 1):
        generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
        drawn = batches(dataset.train, recipe.batch_size, generator=generator, augment=recipe.augment, drop_last=True)
        module.train()
        total = 0.0
        torch.manual_seed(epoch_seed(seed, epoch))  # dropout
        for step, (images, labels) in enumerate(drawn):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, (epoch - 1) + step / steps)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
                logits = module(resized(images, network).contiguous(memory_format=layout)).float()
            loss = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            optimizer.step()
            total += float(loss.detach())
        if on_epoch:
            on_epoch(epoch, total / steps)
    calibration = calibration_images(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    return recalibrate(module, network, calibration)
