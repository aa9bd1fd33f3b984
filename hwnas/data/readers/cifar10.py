"""CIFAR-10 as one file of JPEG bytes, `cifar10_jpeg.npz`."""

from __future__ import annotations

import io
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.facts import Raw, decoding
from hwnas.data.readers.images import decoded
from hwnas.data.source import Decoded, Pool, Source, SplitName, find
from hwnas.errors import DataError, reason
from hwnas.io.regular import open_regular

FILE = "cifar10_jpeg.npz"
_DO = (
    f"Put `{FILE}` there, name it in `data: {{name: cifar10, path: ...}}`, or name its folder in HWNAS_DATA. "
    "Its keys are jpeg_train (bytes end to end), offset_train, y_train, the same for test, and class_names"
)


def read(base: Path, *, path: str | None = None, resolution: int = 32) -> Source:
    """Read 50,000 training and 10,000 test images, 32x32, in 10 classes; decoded when they are first used.

    Without a path: `$HWNAS_DATA/cifar10_jpeg.npz`, else `../shared/data/cifar10_jpeg.npz`.
    """
    folder = Path(os.environ.get("HWNAS_DATA") or Path("..") / "shared" / "data")
    file = find(Path(path) if path is not None else folder / FILE, base, what="file", do=_DO)
    try:
        with open_regular(file) as content, np.load(content, allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in opened.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is damaged, or no archive of arrays"
        raise _damaged(f"the file cannot be read ({why})", file) from error
    splits: tuple[SplitName, ...] = ("train", "test")
    keys = [f"{key}_{split}" for split in splits for key in ("jpeg", "offset", "y")]
    if lacking := [key for key in (*keys, "class_names") if key not in arrays]:
        raise _damaged(f"the file lacks {', '.join(lacking)}", file)
    if arrays["class_names"].ndim != 1 or not len(arrays["class_names"]):
        raise _damaged("class_names is no list of names", file)
    names = tuple(map(str, arrays["class_names"]))
    raw = Raw("RGB", steps=decoding("RGB", (resolution, resolution)), order=f"as the arrays of {FILE} have them")
    return Source(names, {split: _pool(arrays, split, file, resolution) for split in splits}, raw)


def _pool(arrays: dict[str, Any], split: str, file: Path, resolution: int) -> Pool:
    jpeg, offset = arrays[f"jpeg_{split}"], arrays[f"offset_{split}"]
    steps_back = offset.ndim != 1 or len(offset) < 2 or (np.diff(offset) <= 0).any()
    if steps_back or jpeg.ndim != 1 or offset[0] != 0 or offset[-1] != len(jpeg) or jpeg.dtype != np.uint8:
        raise _damaged(f"offset_{split} does not cut jpeg_{split} into images", file)
    if arrays[f"y_{split}"].ndim != 1 or arrays[f"y_{split}"].dtype.kind not in "iu":
        raise _damaged(f"y_{split} is no list of whole numbers", file)
    labels = torch.from_numpy(arrays[f"y_{split}"].astype(np.int64))
    where = f"{file}: {split}"
    decode = partial(_decode, jpeg, offset, where, resolution)
    return Pool(Decoded(len(offset) - 1, (3, resolution, resolution), decode), labels, where)


def _decode(jpeg: NDArray[np.uint8], offset: NDArray[np.int64], where: str, resolution: int, index: int) -> Tensor:
    content = io.BytesIO(jpeg[offset[index] : offset[index + 1]].tobytes())
    return decoded(content, (resolution, resolution), channels=3, where=f"{where} image {index}")


def _damaged(problem: str, file: Path) -> DataError:
    return DataError(problem, where=str(file), allowed=f"`{FILE}` is a NumPy archive of arrays", do=_DO)
