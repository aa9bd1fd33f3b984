"""Arrays with fixed names, in a `.npz` archive or in `.npy` files, which are mapped and never read whole."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.conversion import (
    NUMBERS,
    as_inputs,
    as_tensor,
    classes_of,
    input_dtype,
    labels_of,
    not_finite,
    with_channel,
)
from hwnas.data.facts import Raw
from hwnas.data.names import class_names as checked_names
from hwnas.data.source import SPLITS, Pool, Source, SplitName, Stored, find
from hwnas.errors import ConfigError, DataError, did_you_mean, nearest, reason
from hwnas.io.regular import check_regular, open_regular
from hwnas.tasks import DEFAULT_TASK, Task

ARRAY_KEYS = tuple(f"{part}_{split}" for part in ("x", "y", "groups") for split in SPLITS)
_ARRAYS = (
    "x_train and y_train, and if there are any x_validation, y_validation, x_test, y_test, groups_train, "
    "groups_validation, groups_test, class_names"
)
_DO = f"Name a .npz archive, a folder of .npy files, or one .npy file for each of {_ARRAYS}"
CHUNK = 4096

Opener = Callable[[str], "NDArray[Any]"]


def read(
    base: Path,
    *,
    path: str | Mapping[str, str],
    class_names: Sequence[str] | str | None = None,
    task: Task = DEFAULT_TASK,
) -> Source:
    """Read inputs `x_SPLIT` (N, ...), targets `y_SPLIT` and, where they are there, `groups_SPLIT` of each split.

    Targets may be texts where samples have classes. Nothing is unpickled.

    Raises:
        ConfigError: `path` is neither text nor a mapping of texts, or names are not one for each class.
        DataError: arrays are missing, damaged, of another kind or do not belong together.
    """
    keys, load, where = _opened(path, base)
    _check_keys(keys, where)
    present = [split for split in SPLITS if f"x_{split}" in keys]
    targets = {split: load(f"y_{split}") for split in present}
    names = tuple(map(str, load("class_names").tolist())) if "class_names" in keys else ()
    if texts := targets["train"].dtype.kind in "US":
        if task.strata(torch.zeros(1, dtype=torch.int64)) is None:
            raise DataError(
                "`y_train` holds text",
                where=where,
                allowed="A target of this task is a number",
                do="Convert it, by `astype(numpy.float32)`, or name a task with classes",
            )
        names = names or classes_of(targets["train"].tolist())
    pools: dict[SplitName, Pool] = {}
    for split in present:
        at = f"{where}: {split}"
        inputs = _inputs(load, f"x_{split}", task, where)
        found = targets[split]
        labels = labels_of(found.tolist(), names, f"{where}: y_{split}") if texts else as_tensor(found, at)
        groups = load(f"groups_{split}") if f"groups_{split}" in keys else None
        pools[split] = Pool(inputs, task.as_targets(labels, inputs.shape, where=f"{where}: y_{split}"), at, groups)
    classes = max(task.class_count(pool.targets) for pool in pools.values())
    if not classes:
        names = ()
    elif class_names is not None:
        names = checked_names(class_names, max(classes, len(names)), base)
    return Source(names or tuple(map(str, range(classes))), pools, Raw(order="as the arrays have them"))


def _check_keys(keys: Sequence[str], where: str) -> None:
    needed = ["x_train", "y_train", *(f"y_{split}" for split in SPLITS[1:] if f"x_{split}" in keys)]
    needed += [f"x_{key[2:]}" for key in keys if key in ARRAY_KEYS and key.startswith("y_")]
    needed += [f"x_{key[7:]}" for key in keys if key in ARRAY_KEYS and key.startswith("groups_")]
    if lacking := [key for key in needed if key not in keys]:
        near = nearest(lacking[0], [key for key in keys if key not in ARRAY_KEYS])
        also = f" and has `{near}`" if near else ""
        raise DataError(f"there is no array `{lacking[0]}`{also}", where=where, allowed=f"Arrays are {_ARRAYS}", do=_DO)
    known = (*ARRAY_KEYS, "class_names")
    for key in keys:
        if key not in known and nearest(key.lower(), known) and nearest(key.lower(), known) not in keys:
            raise DataError(
                f"there is an array `{key}`", where=where, allowed=did_you_mean(key.lower(), known), do="Rename it"
            )


def _opened(path: str | Mapping[str, str], base: Path) -> tuple[list[str], Opener, str]:
    """Return the names of the arrays, a function that loads one, and their place."""
    if not isinstance(path, str):
        _check_mapping(path)
        files = {key: find(Path(file), base, what="file", do=_DO) for key, file in path.items()}
        return list(files), lambda key: _mapped(files[key]), "data: path"
    root = find(Path(path), base, what="file", do=_DO)
    if root.is_dir():
        files = {file.stem: file for file in sorted(root.glob("*.npy"))}
        return list(files), lambda key: _mapped(files[key]), str(root)
    arrays = _archive(root)
    return list(arrays), lambda key: arrays[key], str(root)


def _check_mapping(path: object) -> None:
    if not isinstance(path, Mapping):
        raise ConfigError(f"`path` is {path!r}", where="data", allowed="`path` is text, or a mapping of texts", do=_DO)
    known = (*ARRAY_KEYS, "class_names")
    for key, file in path.items():
        if key not in known:
            raise ConfigError(
                f"unknown array `{key}`", where="data: path", allowed=did_you_mean(str(key), known), do="Rename it"
            )
        if not isinstance(file, str) or not file.endswith(".npy"):
            raise ConfigError(
                f"`{key}` is {file!r}", where="data: path", allowed="Each array is the path of a .npy file", do=_DO
            )


def _archive(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with open_regular(file) as content, np.load(content, allow_pickle=False) as opened:
            return {key: opened[key] for key in opened.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError, NotImplementedError) as error:
        raise _unreadable(error, file) from error


def _unreadable(error: Exception, file: Path) -> DataError:
    of_objects = any(words in str(error) for words in ("Object arrays", "Python objects"))
    if of_objects or (isinstance(error, ValueError) and _is_pickle(file)):
        return DataError(
            "the file holds pickled objects",
            where=str(file),
            allowed="Arrays hold numbers or texts: unpickling would run whatever code the file holds",
            do="Save arrays of one dtype each, such as float32, whose samples have one shape",
        )
    why = reason(error) if isinstance(error, OSError) else "it is damaged, or no archive of arrays"
    return DataError(f"the file cannot be read ({why})", where=str(file), allowed=f"Arrays are {_ARRAYS}", do=_DO)


def _is_pickle(file: Path) -> bool:
    with open_regular(file) as content:
        return content.read(1) == b"\x80"


def _mapped(file: Path) -> NDArray[Any]:
    try:
        check_regular(file)
        return _opened_once(file, os.stat(file).st_mtime_ns)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise _unreadable(error, file) from error


@lru_cache(maxsize=16)
def _opened_once(file: Path, changed_ns: int) -> NDArray[Any]:
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def _inputs(load: Opener, key: str, task: Task, where: str) -> Stored | Mapped:
    array, at = load(key), f"{where}: {key}"
    if not isinstance(array, np.memmap):
        return Stored(as_inputs(as_tensor(array, at), task, at))
    one = with_channel(as_tensor(np.zeros((1, *array.shape[1:]), array.dtype), at), task)
    dtype = input_dtype(one.dtype, one.ndim - 1, task) if array.ndim > 1 else None
    if dtype is None:
        samples = task.terms.samples
        raise DataError(
            f"{samples} are {array.dtype} {array.shape}",
            where=at,
            allowed=NUMBERS.format(samples=samples.capitalize()),
            do="Convert them",
        )
    if array.dtype.kind == "f":
        parts = (array[first : first + CHUNK] for first in range(0, len(array), CHUNK))
        if bad := sum(int((~np.isfinite(part)).reshape(len(part), -1).any(1).sum()) for part in parts):
            raise not_finite(bad, len(array), task.terms.samples, at)
    return Mapped(Path(str(array.filename)), len(array), tuple(one.shape[1:]), dtype)


@final
@dataclass(frozen=True)
class Mapped:
    """Inputs in a `.npy` file that is mapped into memory: those that are taken are read."""

    file: Path
    count: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    """Dtype in which they are handed out."""

    def __len__(self) -> int:
        return self.count

    def take(self, indices: Tensor) -> Tensor:
        rows = _mapped(self.file)[indices.numpy()]
        return as_tensor(rows, str(self.file)).to(self.dtype).reshape(-1, *self.shape)
