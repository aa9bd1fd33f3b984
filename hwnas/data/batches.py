"""Batches of a split, shuffled and augmented by a generator that the caller owns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.data.dataset import Split
from hwnas.errors import ConfigError, did_you_mean


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


def batches(
    split: Split,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    augment: str = "none",
    drop_last: bool = False,
    after: tuple[int, Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, labels) through all of a split once; shuffled, and augmented, if there is a generator.

    `after` goes on where an earlier pass stopped, with a generator of the same seed: how many batches were taken, and
    the state that the generator had then.

    Raises:
        ConfigError: an unknown augmentation, or one without a generator to draw from; at the first batch.
    """
    if augment != "none" and generator is None:
        raise ConfigError(
            f"augmentation `{augment}` has no generator to draw from",
            where="batches",
            allowed="Chance is an argument",
            do="Pass `generator`, or augment nothing",
        )
    count = len(split)
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    if after is not None and generator is not None:
        order = order[after[0] * batch_size :]
        generator.set_state(after[1])
    for indices in torch.split(order, batch_size):
        if drop_last and len(indices) < batch_size:
            return
        images = split.batch(indices)
        yield (_augmented(images, generator, augment) if generator is not None else images), split.labels[indices]


def augment(images: Tensor, generator: torch.Generator, kind: str) -> Tensor:
    """Return normalised images (N, C, H, W), each changed at random as `AUGMENTATIONS[kind]` says."""
    if kind not in AUGMENTATIONS:
        raise ConfigError(
            f"unknown augmentation `{kind}`",
            where="train",
            allowed=did_you_mean(kind, AUGMENTATIONS),
            do="Use a known augmentation",
        )
    how = AUGMENTATIONS[kind]
    if how == Augmentation():
        return images
    count, _, height, width = images.shape
    rows = _moved(count, height, how.shift, generator)
    columns = _moved(count, width, how.shift, generator)
    if how.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    places = (rows[:, :, None] * width + columns[:, None, :]).reshape(count, 1, height * width)
    changed = images.flatten(2).gather(2, places.expand(-1, images.shape[1], -1)).reshape(images.shape)
    if how.cutout:
        hole = (
            _span(count, height, how.cutout, generator)[:, :, None]
            & _span(count, width, how.cutout, generator)[:, None]
        )
        changed.masked_fill_(hole[:, None], 0.0)
    return changed


_augmented = augment  # `batches` has an argument of that name


def _moved(count: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """Return (count, size) source positions: each row moved by a random whole number, held inside the border."""
    most = round(share * size)
    offsets = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (torch.arange(size) + offsets).clamp_(0, size - 1)


def _span(count: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """Return (count, size) bool: a stretch around a random centre, cut at the border."""
    side = round(share * size)
    first = torch.randint(0, size, (count, 1), generator=generator) - side // 2
    places = torch.arange(size)
    return (places >= first) & (places < first + side)
