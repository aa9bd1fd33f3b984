"""Weights that were trained in a folded module, back in the module whose normalisations were folded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def unfolded(module: nn.Module, twin: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    """Return a copy of a module, in eval mode, that computes what its folded and trained twin computes.

    Each normalisation has the statistics of what it normalises now, and undoes them again: folded once more it gives
    the twin's weights, and recomputing its statistics changes nothing.

    Args:
        module: the module before it was folded.
        twin: `folded` made it of the module; then its parameters were trained.
        run: runs a module on training inputs, from which the statistics are taken.
    """
    restored = copy.deepcopy(module).eval()
    trained = dict(twin.named_parameters())
    pairs = list(_folded_pairs(restored, twin))
    with torch.no_grad():
        for name, value in restored.named_parameters():
            if name in trained:
                value.copy_(trained[name])
        for path, layer, norm in pairs:
            bias = trained[f"{path}.bias"].to(layer.weight.device)
            if layer.bias is not None:
                layer.bias.zero_()
            _set(norm, torch.zeros_like(bias), torch.ones_like(bias) - norm.eps, bias)
        moments = _moments(restored, {path: layer for path, layer, _ in pairs}, run)
        for path, _, norm in pairs:
            if norm.affine and path in moments:
                _set(norm, *moments[path], norm.bias.clone())
    return restored


def _folded_pairs(module: nn.Module, twin: nn.Module) -> Iterator[tuple[str, Any, _BatchNorm]]:
    """Yield path and layer of each normalisation that is folded in the twin, and the normalisation."""
    for path, chain in module.named_modules():
        if type(chain) is not nn.Sequential:
            continue
        for (name, layer), (norm_name, norm) in pairwise(chain.named_children()):
            replaced = twin.get_submodule(f"{path}.{norm_name}" if path else norm_name)
            if isinstance(norm, _BatchNorm) and isinstance(replaced, nn.Identity):
                yield f"{path}.{name}" if path else name, layer, norm


def _set(norm: _BatchNorm, mean: Tensor, variance: Tensor, shift: Tensor) -> None:
    """Make a normalisation add `shift` to what has this mean and variance, and nothing else."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_var.copy_(variance)
    if norm.affine:
        norm.running_mean.copy_(mean)
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(shift + mean)
    else:
        norm.running_mean.copy_(-shift)


def _moments(
    module: nn.Module, layers: Mapping[str, nn.Module], run: Callable[[nn.Module], object]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return means and variances, by channel, of what layers compute."""
    sums: dict[str, Tensor] = {}

    def collect(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, inputs: Any, out: Tensor) -> None:
            flat = out.detach().double().transpose(0, 1).flatten(1)
            part = torch.stack([flat.sum(1), flat.square().sum(1), torch.full_like(flat[:, 0], flat.shape[1])])
            sums[path] = sums[path] + part if path in sums else part

        return hook

    handles = [layer.register_forward_hook(collect(path)) for path, layer in layers.items()]
    try:
        run(module)
    finally:
        for handle in handles:
            handle.remove()
    means = {path: (total / count, squares / count) for path, (total, squares, count) in sums.items()}
    return {path: (mean.float(), (square - mean**2).clamp_min(0).float()) for path, (mean, square) in means.items()}
