"""Feature maps: the outputs of layers, in networks whose layers output maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MAP_LAYERS = (nn.Conv1d, nn.Conv2d)
MAP_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def no_maps(module: nn.Module) -> str | None:
    """Return why a definition about feature maps says nothing about a module; None if it does.

    Most weighted layers of transformers and perceptrons are linear: they work on tokens or on vectors.
    """
    parts = list(module.modules())
    linear, convolutions = (sum(isinstance(part, kind) for part in parts) for kind in (nn.Linear, MAP_LAYERS))
    if convolutions and convolutions >= linear:
        return None
    return f"it has {linear} linear layers and {convolutions} convolutions, and the definition speaks of feature maps"


def no_scales(module: nn.Module) -> str | None:
    """Return the same for a definition that needs batch normalisation as well."""
    if (reason := no_maps(module)) is not None:
        return reason
    known = any(isinstance(part, MAP_NORMS) for part in module.modules())
    return None if known else "it has no batch normalisation, whose scales the definition is made of"


def see_maps(module: nn.Module, images: Tensor, see: Callable[[Tensor], None]) -> None:
    """Run the module without gradients; `see` is called with each map of a layer without children: (N, C, H, W) of
    images, (N, C, L) of signals, as many axes as the module's input has."""

    def hook(layer: nn.Module, entering: tuple[Tensor, ...], leaving: Tensor) -> None:
        if leaving.dim() == max(3, images.dim()):
            see(leaving)

    layers = [layer for layer in module.modules() if next(layer.children(), None) is None]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        with torch.no_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
