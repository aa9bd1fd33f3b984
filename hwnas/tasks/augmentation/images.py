"""Random changes of images that keep their class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random changes that keep an image's class. Lengths are shares of the resolution."""

    shift: float = 0.0
    """Moved by up to this much along both axes; what comes in repeats the border."""
    flip: bool = False
    """Mirrored left to right, half of the time."""
    cutout: float = 0.0
    """Side of a square that is set to the mean, at a random place and partly outside (DeVries and Taylor 2017)."""


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Augmentation(),
    "shift": Augmentation(shift=1 / 8),
    "crop_flip": Augmentation(shift=1 / 8, flip=True),
    "crop_flip_cutout": Augmentation(shift=1 / 8, flip=True, cutout=1 / 4),
}


def augment_images(images: Tensor, generator: torch.Generator, how: Augmentation) -> Tensor:
    """Return normalised images (N, C, H, W), each changed at random."""
    import torch

    if how == Augmentation():
        return images
    count, _, height, width = images.shape
    rows = moved_indices(count, height, how.shift, generator)
    columns = moved_indices(count, width, how.shift, generator)
    if how.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    places = (rows[:, :, None] * width + columns[:, None, :]).reshape(count, 1, height * width)
    changed = images.flatten(2).gather(2, places.expand(-1, images.shape[1], -1)).reshape(images.shape)
    if how.cutout:
        hole = (
            random_spans(count, height, how.cutout, generator)[:, :, None]
            & random_spans(count, width, how.cutout, generator)[:, None]
        )
        changed.masked_fill_(hole[:, None], 0.0)
    return changed


def moved_indices(count: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """Return (count, size) source positions: each row moved by a random whole number, held inside the border."""
    import torch

    most = round(share * size)
    offsets = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (torch.arange(size) + offsets).clamp_(0, size - 1)


def random_spans(count: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """Return (count, size) bool: a stretch around a random centre, cut at the border."""
    import torch

    side = round(share * size)
    first = torch.randint(0, size, (count, 1), generator=generator) - side // 2
    places = torch.arange(size)
    return (places >= first) & (places < first + side)
