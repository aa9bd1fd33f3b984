"""Smaller versions of a segment: a copy that holds the leading channels of each group."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from hwnas.supernet.slicing.channel_groups import ParameterAxis

Cut = tuple[ParameterAxis, int]
"""An entry, and how many members of its group are kept there."""


def sliced(segment: nn.Module, cuts: Iterable[Cut]) -> nn.Module:
    """Return a copy of a segment that keeps the leading members at each of these places."""
    by_tensor: dict[str, list[Cut]] = {}
    for entry, kept in cuts:
        by_tensor.setdefault(entry.parameter, []).append((entry, kept))
    memo: dict[int, Any] = {}
    touched = set()
    for name, value in [*segment.named_parameters(), *segment.named_buffers()]:
        part = value.detach()
        for axis, places in cut_indices(value, by_tensor.get(name, ())).items():
            part = part.index_select(axis, places.to(part.device))
        if part.shape != value.shape:
            touched.add(name.rpartition(".")[0])
        part = part.clone()
        memo[id(value)] = (
            nn.Parameter(part, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else part
        )
    made: nn.Module = copy.deepcopy(segment, memo)
    for name in touched:
        _resize(made.get_submodule(name))
    return made


def cut_indices(value: Tensor, cuts: Iterable[Cut]) -> dict[int, Tensor]:
    """Return, by axis of a tensor that is cut, which places stay, as numbers."""
    stays: dict[int, Tensor] = {}
    for entry, kept in cuts:
        size = value.shape[entry.axis]
        mask = stays.setdefault(entry.axis, torch.ones(size, dtype=torch.bool, device="cpu"))
        end = size if entry.length is None else entry.start + entry.length
        mask[entry.start + kept * entry.after : end] = False
    return {axis: mask.nonzero().flatten() for axis, mask in stays.items()}


def reads(module: nn.Module, axis: int) -> bool:
    """Return whether a layer's matrix reads channels along an axis, and does not make them."""
    return axis == (0 if bool(getattr(module, "transposed", False)) else 1)


def _resize(module: nn.Module) -> None:
    """Set what a layer of torch's own says of its sizes to those of its parameters."""
    weight: Any = getattr(module, "weight", None)
    if isinstance(module, _ConvNd):
        if module.transposed:
            module.in_channels, module.out_channels = weight.shape[0], weight.shape[1] * module.groups
        else:
            if module.groups > 1:
                module.groups = weight.shape[0] // (module.out_channels // module.groups)
            module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, _NormBase):
        sizes = [value for value in (weight, module.running_mean) if isinstance(value, Tensor)]
        module.num_features = len(sizes[0])
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(weight)
    elif isinstance(getattr(module, "normalized_shape", None), tuple):
        setattr(module, "normalized_shape", tuple(weight.shape))  # noqa: B010 - of a class of the user's too


def masked(root: nn.Module, places: Iterable[ParameterAxis], kept: int) -> dict[str, Tensor]:
    """Return the weights that read a group, zero where they read members beyond those kept."""
    state: Mapping[str, Tensor] = dict(root.named_parameters())
    zeroed: dict[str, Tensor] = {}
    for entry in places:
        value = state.get(entry.parameter)
        layer = root.get_submodule(entry.parameter.rpartition(".")[0])
        if value is None or value.ndim < 2 or not reads(layer, entry.axis):
            continue
        value = zeroed.get(entry.parameter, value.detach()).clone()
        with torch.no_grad():
            stretch = entry.stretch(value)
            stretch.narrow(entry.axis, kept * entry.after, stretch.shape[entry.axis] - kept * entry.after).zero_()
        zeroed[entry.parameter] = value
    return zeroed
