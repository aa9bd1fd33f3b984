"""IDX files, the format of MNIST and Fashion-MNIST: plain or gzipped, in one folder."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hwnas.data.facts import Raw
from hwnas.data.names import class_names as checked_names
from hwnas.data.source import Pool, Source, SplitName, Stored, find
from hwnas.errors import ConfigError, DataError, reason
from hwnas.io.regular import read_regular

_PREFIXES: dict[SplitName, str] = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8
_DO = (
    "Put the files there under their usual names: train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same with "
    "t10k for the test images, each as it is or with .gz"
)


def read(
    base: Path, *, path: str, package: str | None = None, class_names: Sequence[str] | str | None = None
) -> Source:
    """Read training images, and test images if their files are there; classes are counted from the training labels.

    Where there is no such folder, the error tells to run `package`, a command that brings it.

    Raises:
        ConfigError: the names are not one for each class, or `package` is no text.
    """
    if package is not None and not isinstance(package, str):
        raise ConfigError(
            f"`package` is {package!r}",
            where="data",
            allowed="`package` is the command that brings the files",
            do="Correct it, or leave it out",
        )
    folder = find(Path(path), base, what="folder", do=_DO if package is None else f"Run: {package}")
    pools: dict[SplitName, Pool] = {}
    for split, prefix in _PREFIXES.items():
        images, labels = _file(folder, f"{prefix}-images", 3), _file(folder, f"{prefix}-labels", 1)
        if images is None and labels is None and split == "test":
            continue
        if images is None or labels is None:
            raise DataError(
                f"there is no {prefix}-{'images-idx3' if images is None else 'labels-idx1'}-ubyte, plain or with .gz",
                where=str(folder.absolute()),
                allowed="Images and labels come in two files",
                do=_DO,
            )
        pools[split] = Pool(Stored(_array(images, 3).unsqueeze(1)), _array(labels, 1).long(), str(folder / prefix))
    classes = int(pools["train"].targets.max()) + 1 if len(pools["train"].targets) else 0
    numbered = tuple(map(str, range(classes)))
    names = numbered if class_names is None else checked_names(class_names, classes, base)
    return Source(names, pools, Raw("grey", order="as the IDX files have them"))


def _file(folder: Path, stem: str, axes: int) -> Path | None:
    names = [f"{stem}{mark}idx{axes}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).exists()), None)


def _array(file: Path, axes: int) -> Tensor:
    try:
        content = read_regular(file)
        content = gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(f"the file cannot be read ({reason(error)})", file) from error
    if len(content) < 4 + 4 * axes or content[:4] != bytes([0, 0, _UNSIGNED_BYTE, axes]):
        raise _damaged(f"the file does not begin as {axes}-dimensional IDX of bytes does", file)
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, 4 + 4 * axes, 4)]
    body = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if len(body) != math.prod(sizes):
        raise _damaged(f"the file holds {len(body)} bytes, its head says {'x'.join(map(str, sizes))}", file)
    return torch.from_numpy(body.copy()).reshape(sizes)


def _damaged(problem: str, file: Path) -> DataError:
    return DataError(problem, where=str(file), allowed="A whole IDX file is needed", do="Fetch the file again")
