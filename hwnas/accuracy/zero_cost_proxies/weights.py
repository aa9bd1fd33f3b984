"""The layers that the sources sum over: convolutions and linear ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WeightedLayer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
WEIGHT_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def weighted_layers(module: nn.Module) -> list[WeightedLayer]:
    """Return the convolutions and linear layers, each once, in the module's order."""
    return [layer for layer in module.modules() if isinstance(layer, WEIGHT_LAYERS)]


def over_gradients(module: nn.Module, term: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the sum of `term(weight, its gradient)` over the layers; one that no gradient reaches adds nothing."""
    layers = weighted_layers(module)
    with torch.no_grad():
        terms = [term(layer.weight, layer.weight.grad) for layer in layers if layer.weight.grad is not None]
        return float(torch.stack(terms).double().sum()) if terms else 0.0
