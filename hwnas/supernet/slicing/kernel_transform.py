"""Kernel transformation: a smaller kernel is the centre of the next larger one, times a learned matrix.

As in once-for-all (Cai et al., ICLR 2020): 7 -> 5 -> 3, one square matrix a step, shared by all channels of a
layer and at first the identity. There only depthwise kernels are elastic; here all kernels of convolutions are mapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hwnas.errors import SpaceError

Size = tuple[int, ...]


def center_crop(largest: Tensor, size: Size, leading: int = 2) -> Tensor:
    """Return the part of a shared tensor that a tensor of `size` uses: leading channels, and the centre of a kernel.

    The first axes, `leading` of them, are (output, input) channels and are cut at the end; any further axis is spatial
    and is cut on both sides. A tensor of full size is returned as it is. One view of all axes, because one after the
    other each would fill a tensor with zeros on the way back.
    """
    if largest.shape == size:
        return largest
    strides, begin = largest.stride(), largest.storage_offset()
    for whole, part, stride in list(zip(largest.shape, size, strides, strict=True))[leading:]:
        begin += (whole - part) // 2 * stride
    return largest.as_strided(size, strides, begin)


def is_kernel(module: nn.Module, parameter: str) -> bool:
    """Return whether a module's own parameter is the kernel of a convolution, whose last axes are spatial."""
    return isinstance(module, nn.modules.conv._ConvNd) and parameter == "weight"


def kernel_sizes(key: str, shapes: Iterable[Size]) -> tuple[Size, ...]:
    """Return the spatial sizes of a shared kernel, largest first.

    Raises:
        SpaceError: of two of them neither lies within the other.
    """
    sizes = sorted({size[2:] for size in shapes}, key=math.prod, reverse=True)
    for larger, smaller in pairwise(sizes):
        if any(part > whole for whole, part in zip(larger, smaller, strict=True)):
            raise SpaceError(
                f"of the kernels {_text(larger)} and {_text(smaller)} neither lies within the other",
                where=f"shared parameter `{key}`",
                allowed="With `kernel_transform` each kernel size of a slot holds the next smaller one",
                do="Leave `train.kernel_transform` out, or give the kernels operators of different names",
            )
    return tuple(sizes)


def transform_matrices(key: str, sizes: tuple[Size, ...]) -> Iterator[tuple[str, Tensor]]:
    """Yield the transforming matrices of a shared kernel by name, as identities."""
    for larger, smaller in pairwise(sizes):
        yield _name(key, larger, smaller), torch.eye(math.prod(smaller))


def steps_to(key: str, sizes: tuple[Size, ...], size: Size) -> tuple[tuple[str, Size], ...]:
    """Return the matrices, and the spatial sizes, by which the largest kernel becomes one of `size`."""
    return tuple((_name(key, a, b), b) for a, b in pairwise(sizes) if math.prod(b) >= math.prod(size[2:]))


def transformed(
    largest: Tensor, size: Size, steps: Iterable[tuple[str, Size]], weights: Mapping[str, Tensor | None]
) -> Tensor:
    """Return the kernel of `size` that the steps make of a shared one."""
    kernel = center_crop(largest, (*size[:2], *largest.shape[2:]))
    for name, spatial in steps:
        matrix = weights[name]
        assert matrix is not None
        within = center_crop(kernel, (*size[:2], *spatial))
        kernel = linear(within.flatten(2), matrix).reshape(within.shape)
    return kernel


def _name(key: str, larger: Size, smaller: Size) -> str:
    return f"{key}/{_text(larger)}to{_text(smaller)}"


def _text(size: Size) -> str:
    return str(size[0]) if len(set(size)) == 1 else "x".join(map(str, size))
