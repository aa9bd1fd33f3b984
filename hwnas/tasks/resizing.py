"""Inputs that are resized to the shape that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.tasks.ends import TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

RANKS = (2, 3)
"""Ranks of inputs that can be resized: signals (channels, length) and images (channels, height, width)."""


def resized(inputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return inputs (N, C, L) or (N, C, H, W), resized linearly with anti-aliasing if a network takes another size."""
    size = shape[1:]
    if tuple(inputs.shape[-len(size) :]) == size:
        return inputs
    from torch.nn.functional import interpolate

    if len(size) == 2:
        return interpolate(inputs, size=size, mode="bilinear", antialias=True, align_corners=False)
    return interpolate(
        inputs.unsqueeze(-2), size=(1, *size), mode="bilinear", antialias=True, align_corners=False
    ).squeeze(-2)


def same_proportions(size: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return True if an image of one (height, width) keeps its proportions at the other, to the pixel."""
    (height, width), (high, wide) = size, other
    return abs(height * wide - width * high) <= max(height, width, high, wide) / 2


def is_resizable(data: TensorSpec, wanted: TensorSpec) -> bool:
    """Return whether an input can be fitted to networks that take another one, see `Task.fitted`."""
    if ("int" in data.dtype) != ("int" in wanted.dtype):
        return False
    own, other = data.shape, wanted.shape
    alike = len(own) == len(other) and own[0] == other[0] and len(own) in RANKS and "int" not in wanted.dtype
    if alike and len(own) == 3 and not same_proportions(own[1:], other[1:]):
        return False
    return bool(own == other or alike)
