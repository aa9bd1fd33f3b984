"""Images of a pool are cropped at the centre and resized to one size."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from hwnas.data.facts import Step, squaring
from hwnas.data.source import Pool, Stored
from hwnas.errors import DataError
from hwnas.tasks.ends import is_plain

Size = tuple[int, int]
"""Height and width in pixels."""


def size_of(resolution: int | list[int]) -> Size:
    """Return height and width of an option `resolution`: one number for a square, or both."""
    return (resolution, resolution) if isinstance(resolution, int) else (resolution[0], resolution[1])


def resized(pool: Pool, size: Size | None) -> Pool:
    """Return the pool, its images cropped to the largest centred part of these proportions and resized.

    Targets that are images of the same height and width are cropped alike and resized to the nearest pixel.

    Raises:
        DataError: its inputs are no images.
    """
    if size is None:
        return pool
    _, *sides = _image_shape(pool)
    if tuple(sides) == size:
        return pool
    high, wide = _part((sides[0], sides[1]), size)
    top, left = (sides[0] - high) // 2, (sides[1] - wide) // 2
    parts = []
    for indices in torch.split(torch.arange(len(pool.inputs)), 1024):
        taken = pool.inputs.take(indices)[:, :, top : top + high, left : left + wide]
        part = interpolate(taken.float(), size, mode="bilinear", antialias=True)
        parts.append(part.round().clamp(0, 255).byte() if taken.dtype == torch.uint8 else part)
    targets = pool.targets
    if targets.ndim > 2 and list(targets.shape[-2:]) == sides:
        targets = _nearest(targets[..., top : top + high, left : left + wide], size)
    return replace(pool, inputs=Stored(torch.cat(parts)), targets=targets)


def resizing_steps(pools: Collection[Pool], size: Size | None) -> tuple[Step, ...]:
    """Return the steps that `resized` takes, if it changes any of the pools."""
    shapes = {pool.inputs.shape[1:] for pool in pools}
    if size is None or shapes == {size}:
        return ()
    first = next(iter(pools))
    _, height, width = _image_shape(first)
    whole = first.inputs.take(torch.tensor([0])).dtype == torch.uint8
    return squaring(size, whole=whole, part=_part((height, width), size))


def _part(sides: Size, size: Size) -> Size:
    scale = min(sides[0] / size[0], sides[1] / size[1])
    return min(round(size[0] * scale), sides[0]), min(round(size[1] * scale), sides[1])


def _nearest(targets: Tensor, size: Size) -> Tensor:
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long().clamp_(max=old - 1)
        for new, old in zip(size, targets.shape[-2:], strict=True)
    )
    return targets[..., rows[:, None], columns]


def _image_shape(pool: Pool) -> tuple[int, int, int]:
    if not is_plain(pool.inputs.shape) or len(pool.inputs.shape) != 3:
        raise DataError(
            f"inputs are of shape {pool.inputs.shape}",
            where=pool.where,
            allowed="`resolution` is an option of images, (channels, height, width)",
            do="Leave `resolution` out",
        )
    channels, height, width = pool.inputs.shape
    return channels, height, width
