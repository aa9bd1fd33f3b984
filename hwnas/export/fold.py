"""Batch normalisation folded into the layer before it, as every converter and runtime does at inference."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights


def folded(module: nn.Module, *, convolutions: bool = True) -> nn.Module:
    """Return a copy in eval mode that computes the same with fewer operations, so that no converter has to fold them.

    Folded are a convolution, or a linear layer of vectors, and the batch normalisation behind it in an `nn.Sequential`,
    unless one of them has another place in the module too; any other normalisation stays. That a linear layer's inputs
    are vectors is known where an `nn.Flatten` comes before it.

    Args:
        module: the module; it stays as it is.
        convolutions: whether convolutions are folded, which some converters do themselves.
    """
    return fold_(copy.deepcopy(module), convolutions=convolutions)


def fold_(module: nn.Module, *, convolutions: bool = True) -> nn.Module:
    """Fold a module in place, put it into eval mode and return it; see `folded`."""
    module.eval()
    places = Counter(id(child) for _, child in module.named_modules(remove_duplicate=False))
    for chain in list(module.modules()):
        if type(chain) is not nn.Sequential:
            continue
        children = list(chain.named_children())
        flat = {id(layer) for (_, before), (_, layer) in pairwise(children) if _makes_vectors(before)}
        for (_, layer), (norm_name, norm) in pairwise(children):
            if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
                continue
            if places[id(layer)] != 1 or places[id(norm)] != 1:
                continue
            kinds = type(layer), type(norm)
            if convolutions and kinds in ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d)):
                _take(layer, fuse_conv_bn_weights, norm)
            elif id(layer) in flat and kinds == (nn.Linear, nn.BatchNorm1d):
                _take(layer, fuse_linear_bn_weights, norm)
            else:
                continue
            setattr(chain, norm_name, nn.Identity())
    return module


def _take(layer: Any, fused: Callable[..., tuple[nn.Parameter, nn.Parameter]], norm: _BatchNorm) -> None:
    """Give a layer the weight and the bias that compute what it and its normalisation do."""
    layer.weight, layer.bias = fused(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _makes_vectors(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1)
