"""The result of a reader of data: inputs and targets, in one pool or in several."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, final

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from hwnas.data.facts import Raw, Step, squaring
from hwnas.errors import DataError
from hwnas.io.regular import resolve_path

CACHE_BYTES = 2 * 1024**3
"""Decoded images are kept in memory up to this size of all of them; larger sets are decoded each time."""

SplitName = Literal["train", "validation", "test"]


class Inputs(Protocol):
    """Inputs of a network by number."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one, the same for all; of an image (channels, height, width)."""

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Tensor:
        """Return (N, *shape), uint8 or float; a copy."""


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """Inputs held in memory: (N, *shape), uint8 or float."""

    data: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[1:])

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Tensor) -> Tensor:
        return self.data.index_select(0, indices)


@final
@dataclass(frozen=True, eq=False)
class Decoded:
    """Images that are decoded when they are first taken, then kept if all of them fit into `CACHE_BYTES`."""

    count: int
    shape: tuple[int, int, int]
    decode: Callable[[int], Tensor]
    """Number of an image -> (channels, height, width) uint8."""
    _kept: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return self.count

    def take(self, indices: Tensor) -> Tensor:
        if self.count * torch.Size(self.shape).numel() > CACHE_BYTES:
            return self._decoded(indices)
        if not self._kept:
            self._kept["known"] = torch.zeros(self.count, dtype=torch.bool)
            self._kept["pixels"] = torch.empty(self.count, *self.shape, dtype=torch.uint8)
        known, kept = self._kept["known"], self._kept["pixels"]
        new = torch.unique(indices[~known[indices]])
        if len(new):
            kept[new] = self._decoded(new)
            known[new] = True
        return kept.index_select(0, indices)

    def _decoded(self, indices: Tensor) -> Tensor:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return torch.stack(list(pool.map(self.decode, indices.tolist())))


@final
@dataclass(frozen=True, eq=False)
class Pool:
    """Inputs with a target each, of images a label; `where` stands in errors."""

    inputs: Inputs
    targets: Tensor
    where: str


@final
@dataclass(frozen=True, eq=False)
class Source:
    """Pools by split; what is missing beside `train` is split off from it."""

    class_names: tuple[str, ...]
    pools: Mapping[SplitName, Pool]
    raw: Raw = field(default_factory=Raw)
    """Processing of the pixels before they stood in the pools."""


def check_pool(pool: Pool, classes: int) -> Pool:
    """Return the pool, if its targets belong to its inputs and, where there are classes, lie in 0..classes - 1.

    Raises:
        DataError: otherwise.
    """
    labels = pool.targets
    if not classes and len(labels) == len(pool.inputs) > 0:
        return pool
    if labels.ndim != 1:
        raise DataError(
            f"labels have {labels.ndim} axes",
            where=pool.where,
            allowed="Labels are a list of whole numbers, one an image",
            do="Check how the labels were written",
        )
    if len(labels) != len(pool.inputs) or not len(labels):
        raise DataError(
            f"there are {len(labels)} labels for {len(pool.inputs)} images",
            where=pool.where,
            allowed="Every image has one label, and there is at least one",
            do="Check that the files belong together",
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"label {low if low < 0 else high} is out of range",
            where=pool.where,
            allowed=f"Labels of {classes} classes are 0 to {classes - 1}",
            do="Number the classes from 0 on",
        )
    return pool


def squared(pool: Pool, resolution: int | None) -> Pool:
    """Return the pool, its images cropped to the centre square and resized; without a resolution they must be square.

    Raises:
        DataError: they are not.
    """
    if len(pool.inputs.shape) != 3 and resolution is None:
        return pool
    _, height, width = _image_shape(pool)
    if resolution in (None, height) and height == width:
        return pool
    if resolution is None:
        raise DataError(
            f"images are {height} pixels high and {width} wide",
            where=pool.where,
            allowed="Networks take square images",
            do="Give a `resolution`; images are then cropped to the centre square and resized",
        )
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    parts = []
    for indices in torch.split(torch.arange(len(pool.inputs)), 1024):
        taken = pool.inputs.take(indices)[:, :, top : top + side, left : left + side]
        part = interpolate(taken.float(), (resolution, resolution), mode="bilinear", antialias=True)
        parts.append(part.round().clamp(0, 255).byte() if taken.dtype == torch.uint8 else part)
    return Pool(Stored(torch.cat(parts)), pool.targets, pool.where)


def _image_shape(pool: Pool) -> tuple[int, int, int]:
    if len(pool.inputs.shape) != 3:
        raise DataError(
            f"inputs are of shape {pool.inputs.shape}",
            where=pool.where,
            allowed="`resolution` is an option of images, (channels, height, width)",
            do="Leave `resolution` out",
        )
    channels, height, width = pool.inputs.shape
    return channels, height, width


def squaring_of(pools: Collection[Pool], resolution: int | None) -> tuple[Step, ...]:
    """Return the steps that `squared` takes, if it changes any of the pools."""
    shapes = {pool.inputs.shape[1:] for pool in pools}
    if resolution is None or shapes == {(resolution, resolution)}:
        return ()
    first = next(iter(pools)).inputs
    return squaring(resolution, whole=first.take(torch.tensor([0])).dtype == torch.uint8)


def find(path: Path, base: Path, *, what: str, do: str) -> Path:
    """Return the file or folder at a path taken from here, else from `base`.

    Raises:
        DataError: it is in neither place.
    """
    if (file := resolve_path(path, base)).exists():
        return file
    looked = dict.fromkeys([path.expanduser(), file])
    raise DataError(
        f"there is no {what} `{path}`",
        where="data",
        allowed=f"Looked for {' and '.join(str(candidate.absolute()) for candidate in looked)}",
        do=do,
    )
