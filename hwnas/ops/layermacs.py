"""Multiply-adds layer by layer, for projects whose sums depend on the order of layers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from hwnas.ops.operator import Operator, Shape, new_module
from hwnas.tasks.ends import examples


@cache
def layer_macs(operator: Operator, input_shape: Shape) -> tuple[int, ...]:
    """Multiply-adds of each convolution and linear layer, in the order in which the operator's module holds them."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = new_module(operator).to("meta").eval()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    macs: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        macs[layer] = output.numel() * weight[0].numel()

    for layer in layers:
        layer.register_forward_hook(note)
    with torch.no_grad():
        module(*examples(input_shape, 1, "meta"))
    return tuple(macs[layer] for layer in layers)
