"""Data from a function of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.data.dataset import Dataset
from hwnas.data.facts import Raw
from hwnas.data.names import class_names as checked_names
from hwnas.data.source import Pool, Source, SplitName, Stored
from hwnas.errors import DataError, reason
from hwnas.registry import calling, named
from hwnas.tasks import DEFAULT_TASK, Classification, Task

_SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
_ALLOWED = (
    'It returns a hwnas.data.Dataset, or {"train": (images, labels)} with, if there are any, "validation", "test" and '
    '"class_names"'
)
_NUMBERS = "Images are bytes (uint8), or finite floating-point numbers"


def read(
    base: Path, *, function: str, class_names: Sequence[str] | str | None = None, task: Task = DEFAULT_TASK
) -> Source | Dataset:
    """Call `module:function` or `path.py:function` without arguments and return its data.

    Images are (N, C, H, W) or (N, H, W), uint8 or float; labels are whole numbers from 0 on. Another task takes inputs
    of any shape, and targets as its loss does. `class_names` take precedence over those that the function returns.
    """
    load = named(function, base=base, where="data")
    with calling(load, DataError, where="data", name=function, allowed="It is called without arguments. " + _ALLOWED):
        returned = load()
    if isinstance(returned, Dataset):
        if class_names is None:
            return returned
        return replace(returned, class_names=checked_names(class_names, returned.classes, base))
    if not isinstance(returned, Mapping) or "train" not in returned:
        raise _error(f"the function returns {type(returned).__name__} without `train`", function)
    if unknown := sorted(str(key) for key in returned if key not in (*_SPLITS, "class_names")):
        raise _error(f"the function returns a split `{unknown[0]}`", function)
    pools = {split: _pool(returned[split], f"{function}: {split}", task) for split in _SPLITS if split in returned}
    if task.strata(pools["train"].targets) is None:
        return Source((), pools, Raw(order="as the function returns them"))
    classes = 1 + max(int(pool.targets.max()) if len(pool.targets) else 0 for pool in pools.values())
    names = _named(returned.get("class_names", range(classes)), function)
    if class_names is not None:
        names = checked_names(class_names, len(names), base)
    return Source(names, pools, Raw(order="as the function returns them"))


def _named(names: Any, function: str) -> tuple[str, ...]:
    try:
        return tuple(map(str, names))
    except TypeError as error:
        raise _error(f"`class_names` is {names!r}", function) from error


def _pool(pair: Any, where: str, task: Task) -> Pool:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise _error("a split is no pair of images and labels", where)
    images, labels = (_tensor(part, where) for part in pair)
    if isinstance(task, Classification) and (not task.inputs or len(task.inputs[0].shape) == 3):
        return _images(images, labels, where)
    if len(images) != len(labels) or not all(bool(part.isfinite().all()) for part in (images, labels)):
        raise DataError(
            f"inputs are {tuple(images.shape)}, targets {tuple(labels.shape)}, or some are not finite",
            where=where,
            allowed="Each input has a target, and all numbers are finite",
            do="Repair or drop them",
        )
    return Pool(Stored(images), labels, where)


def _images(images: Tensor, labels: Tensor, where: str) -> Pool:
    images = images.unsqueeze(1) if images.ndim == 3 else images
    if images.ndim != 4 or labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise DataError(
            f"images are {images.dtype} {tuple(images.shape)}, labels {labels.dtype} {tuple(labels.shape)}",
            where=where,
            allowed="Images are (N, C, H, W) or (N, H, W), labels (N,) whole numbers",
            do="Return arrays of these shapes",
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"images are {images.dtype}", where=where, allowed=_NUMBERS, do="Convert them")
    if images.is_floating_point() and (bad := int((~images.isfinite()).flatten(1).any(dim=1).sum())):
        raise DataError(
            f"{bad} of {len(images)} images hold NaN or infinity",
            where=where,
            allowed=_NUMBERS,
            do="Repair or drop them",
        )
    return Pool(Stored(images), labels.long(), where)


def _tensor(part: Any, where: str) -> Tensor:
    try:
        return part if isinstance(part, Tensor) else torch.from_numpy(np.ascontiguousarray(part))
    except (TypeError, ValueError) as error:
        raise _error(f"images and labels are no arrays ({reason(error)})", where) from error


def _error(problem: str, where: str) -> DataError:
    return DataError(problem, where=where, allowed=_ALLOWED, do="Change the function")
