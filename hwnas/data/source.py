"""The result of a reader of data: inputs and targets, in one pool or in several."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, final

import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.facts import Raw
from hwnas.errors import DataError
from hwnas.io.regular import resolve_path
from hwnas.tasks import Terms
from hwnas.tasks.ends import Shape, TensorSpec

CACHE_BYTES = 2 * 1024**3
"""Decoded inputs are kept in memory up to this size of all of them; larger sets are decoded each time."""

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class Inputs(Protocol):
    """Inputs of a network by number."""

    @property
    def shape(self) -> Shape:
        """Shape of one, the same for all; of an image (channels, height, width)."""

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Any:
        """Return (N, *shape), uint8, float or int64, of several inputs a tuple; a copy."""


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """Inputs held in memory: (N, *shape), uint8, float or int64."""

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
class Several:
    """Several inputs of each sample by name, in the order in which networks take them."""

    parts: Mapping[str, Inputs]

    @property
    def shape(self) -> Shape:
        first = torch.tensor([0])
        return tuple(
            TensorSpec(name, part.shape, "int64" if part.take(first).dtype == torch.int64 else "float32")
            for name, part in self.parts.items()
        )

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def take(self, indices: Tensor) -> tuple[Tensor, ...]:
        """Return a tensor for each input."""
        return tuple(part.take(indices) for part in self.parts.values())


@final
@dataclass(frozen=True, eq=False)
class Decoded:
    """Inputs that are decoded when they are first taken, then kept if all of them fit into `CACHE_BYTES`."""

    count: int
    shape: tuple[int, ...]
    decode: Callable[[int], Tensor]
    """Number of an input -> (*shape) in `dtype`."""
    dtype: torch.dtype = torch.uint8
    _kept: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return self.count

    @property
    def fits(self) -> bool:
        """True if decoded inputs are kept."""
        return self.count * torch.Size(self.shape).numel() * self.dtype.itemsize <= CACHE_BYTES

    def take(self, indices: Tensor) -> Tensor:
        if not self.fits:
            return self._decoded(indices)
        if not self._kept:
            self._kept["known"] = torch.zeros(self.count, dtype=torch.bool)
            self._kept["pixels"] = torch.empty(self.count, *self.shape, dtype=self.dtype)
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
    groups: NDArray[Any] | None = None
    """(N,) whole numbers or texts: samples of one group, such as a subject, are never in two splits."""


@final
@dataclass(frozen=True, eq=False)
class Source:
    """Pools by split; what is missing beside `train` is split off from it."""

    class_names: tuple[str, ...]
    pools: Mapping[SplitName, Pool]
    raw: Raw = field(default_factory=Raw)
    """Processing of the values before they stood in the pools."""


def check_pool(pool: Pool, classes: int, terms: Terms) -> Pool:
    """Return the pool, if its targets belong to its inputs and, where they are labels, lie in 0..classes - 1.

    Raises:
        DataError: otherwise.
    """
    labels = pool.targets
    if len(labels) != len(pool.inputs) or not len(labels):
        what = "labels" if classes else "targets"
        raise DataError(
            f"there are {len(labels)} {what} for {len(pool.inputs)} {terms.samples}",
            where=pool.where,
            allowed=f"Every {terms.sample} has one {what[:-1]}, and there is at least one",
            do="Check that the files belong together",
        )
    if pool.groups is not None and pool.groups.shape != (len(labels),):
        raise DataError(
            f"there are groups of shape {pool.groups.shape} for {len(labels)} {terms.samples}",
            where=pool.where,
            allowed=f"Every {terms.sample} is in one group, such as a subject",
            do="Check that the arrays belong together",
        )
    if not classes or labels.ndim > 1 or labels.is_floating_point():
        return pool
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"label {low if low < 0 else high} is out of range",
            where=pool.where,
            allowed=f"Labels of {classes} classes are 0 to {classes - 1}",
            do="Number the classes from 0 on",
        )
    return pool


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
