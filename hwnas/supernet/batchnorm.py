"""Normalisation statistics and quality of a stand-alone network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from hwnas.data import Dataset, Split
from hwnas.data.batches import batches
from hwnas.errors import TrainingError
from hwnas.network import Network
from hwnas.supernet.weights import Supernet
from hwnas.tasks import Batch, Estimate, Sums, Tensors
from hwnas.tasks.ends import call


def calibration_inputs(dataset: Dataset, *, count: int, batch_size: int, seed: int) -> list[Tensors]:
    """`count` batches of training inputs, fixed by the seed and not augmented, on which statistics are recomputed."""
    generator = torch.Generator().manual_seed(seed)
    drawn = batches(dataset.train, min(batch_size, len(dataset.train)), generator=generator, drop_last=True)
    return [batch.inputs for batch in islice(drawn, count)]


def recalibrate(module: nn.Module, network: Network, inputs: Iterable[Tensors]) -> nn.Module:
    """Recompute the normalisation statistics of a module from a few batches, in place; returned in eval mode.

    Statistics are plain averages over the batches. Only normalisation layers run in training mode, so dropout is off.
    Where none keeps statistics, no input is read.

    Raises:
        TrainingError: they are not finite.
    """
    module.eval()
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm)]
    if not norms:
        return module
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    device = next(module.parameters()).device
    with torch.no_grad():
        for batch in inputs:
            call(module, network.task.fitted(_on(device, batch), network.input_shape))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    if (bad := bad_statistics(dict(module.named_buffers()))) is not None:
        raise TrainingError(
            f"its normalisation statistics hold {bad}",
            where="a network that is recalibrated",
            allowed="Means and variances of a network's activations are finite",
            do="Lower the learning rate that its weights were trained with",
        )
    return module.eval()


def bad_statistics(state: Mapping[str, Tensor]) -> str | None:
    """Return, in words, the first impossible normalisation statistic of a state; None if all are sound.

    A variance of exactly 0 is possible: that of a dead channel.
    """
    for name, value in state.items():
        kind = name.rpartition(".")[2]
        if kind in ("running_mean", "running_var"):
            if not value.isfinite().all():
                return f"`{name}` that is not finite"
            if kind == "running_var" and (value < 0).any():
                return f"`{name}` below 0"
    return None


def extract_recalibrated(supernet: Supernet, network: Network, inputs: Iterable[Tensors]) -> nn.Module:
    """Return a stand-alone copy of a sub-network with its own statistics, in eval mode, to be scored or exported."""
    return recalibrate(supernet.extract(network), network, inputs)


def evaluate(module: nn.Module, network: Network, split: Split, *, batch_size: int = 256) -> Sums:
    """Return the task's statistics of a module in eval mode on a split; `network.task.values` makes metrics of them."""
    device, task = next(module.parameters()).device, split.fit(network.task)

    with torch.no_grad():
        parts = [
            task.statistics(
                task.to_unit(call(module, task.fitted(_on(device, inputs), network.input_shape))),
                Batch(inputs, targets),
            )
            for inputs, targets in batches(split, batch_size)
        ]
    return Sums.of(parts)


def _on(device: torch.device, inputs: Tensors) -> Tensors:
    return tree_map(lambda tensor: tensor.to(device), inputs)


def estimate(module: nn.Module, network: Network, split: Split) -> Estimate:
    """Return the task's first metric with its standard error, of images the top-1 accuracy, 0 to 1."""
    task = network.task
    return task.values(evaluate(module, network, split))[task.quality.name]


def quality(module: nn.Module, network: Network, split: Split, *, batch_size: int = 256) -> float:
    """Return the value of the task's first metric."""
    task = network.task
    return task.values(evaluate(module, network, split, batch_size=batch_size))[task.quality.name].value
