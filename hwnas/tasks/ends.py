"""Tensors at a network's ends, and shapes of what runs between its operators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

Shape = tuple[Any, ...]
"""Sizes of a float32 tensor's axes without the batch: (channels, height, width), (channels, length) or (width,). Of
several tensors, and of other numbers, a `TensorSpec` each."""
Tensors = Any
"""A tensor, or several in a tuple."""


@dataclass(frozen=True, order=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    shape: Shape
    """Without the batch axis; of any rank."""
    dtype: str = "float32"
    """numpy's name."""
    below: int | None = None
    """Of whole numbers, such as token ids: all of them are smaller, and none is negative."""


def specs_of(shape: Shape, name: str = "input") -> tuple[TensorSpec, ...]:
    """Return the tensors of a shape; a float32 tensor's has no name of its own."""
    return (TensorSpec(name, shape),) if is_plain(shape) else shape


def is_plain(shape: Shape) -> bool:
    """Return whether a shape is that of one float32 tensor."""
    return not any(isinstance(part, TensorSpec) for part in shape)


def shape_of(specs: tuple[TensorSpec, ...]) -> Shape:
    """Return the shape of tensors, that of one float32 tensor as its sizes."""
    return specs[0].shape if len(specs) == 1 and specs[0].dtype == "float32" else specs


def channels_of(shape: Shape) -> Any:
    """Return the size of the first axis, which an operator's `in_channels` is; of several tensors a tuple of them."""
    first = tuple(spec.shape[0] for spec in specs_of(shape))
    return first if len(first) > 1 else first[0]


def elements_of(shape: Shape) -> int:
    """Return the number of numbers in all tensors of a shape."""
    return sum(math.prod(spec.shape) for spec in specs_of(shape))


def shape_text(shape: Shape) -> str:
    """Return a shape in the usual notation, such as `3x32x32`, and of several tensors `left 1x50 + right 3`."""
    if is_plain(shape):
        return "x".join(map(str, shape))
    return " + ".join(f"{spec.name} {'x'.join(map(str, spec.shape))}{_numbers(spec)}" for spec in shape)


def examples(shape: Shape, batch: int, device: Any = None) -> tuple[torch.Tensor, ...]:
    """Return tensors of zeros, one for each input of a shape; on the device `meta` they hold nothing."""
    import torch

    return tuple(
        torch.zeros(batch, *spec.shape, dtype=getattr(torch, spec.dtype), device=device) for spec in specs_of(shape)
    )


def random_tensor(spec: TensorSpec, rng: np.random.Generator, batch: int) -> NDArray[Any]:
    """Return finite numbers of a tensor's shape and dtype."""
    dtype, shape = np.dtype(spec.dtype), (batch, *spec.shape)
    if dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    low, high = (np.iinfo(dtype).min, int(np.iinfo(dtype).max) + 1) if spec.below is None else (0, spec.below)
    return rng.integers(low, high, shape, dtype=dtype)


def call(module: nn.Module, tensors: Tensors) -> Tensors:
    """Return the outputs of a module, several inputs being its arguments in order."""
    return module(*tensors) if isinstance(tensors, tuple) else module(tensors)


def _numbers(spec: TensorSpec) -> str:
    return "" if spec.dtype == "float32" else f" {spec.dtype}"
