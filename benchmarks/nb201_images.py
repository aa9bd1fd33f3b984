"""Images of a NumPy archive, in the layout of `cifar10_jpeg.npz` or as plain arrays, whatever the data set is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hwnas.data import Dataset
from hwnas.data.load import Options, split_source
from hwnas.data.readers.images import decoded
from hwnas.data.source import Decoded, Inputs, Pool, Source, Stored
from hwnas.errors import DataError

IMAGES = 2048
"""Training images that are read of a data set: batches are the first of them, and they are normalised by all."""
_LAYOUT = (
    "y_train, and either jpeg_train (bytes end to end) with offset_train, or x_train (images, height, width, channels)"
)


def read_images(path: Path, seed: int) -> Dataset:
    """The data set of a file. Its classes are the labels that occur in `y_train`, in their order, from 0 on.

    Raises:
        DataError: the file cannot be read, or is in no layout that is known.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files if key.endswith("_train")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise _unreadable(f"the file cannot be read ({error})", path) from error
    if "y_train" not in arrays:
        raise _unreadable("there is no `y_train`", path)
    names, labels = np.unique(arrays["y_train"], return_inverse=True)
    for key, read in READERS.items():
        if key in arrays:
            pool = Pool(read(arrays, path), torch.from_numpy(labels.reshape(-1).astype(np.int64)), str(path))
            # the second pool only keeps test images from being split off: nobody looks at them
            source = Source(tuple(map(str, names)), {"train": pool, "test": pool})
            return split_source(source, Options(limit=IMAGES), seed=seed, name=path.name)
    raise _unreadable("there are no images", path)


def _jpeg(arrays: Mapping[str, NDArray[Any]], path: Path) -> Inputs:
    content, offset = arrays["jpeg_train"], arrays.get("offset_train")
    if content.dtype.kind == "S":  # an entry an image
        images = [bytes(entry) for entry in content]
        return _decoded(len(images), images.__getitem__, path)
    if offset is None or content.dtype != np.uint8 or offset[0] != 0 or offset[-1] != len(content):
        raise _unreadable("`offset_train` does not cut `jpeg_train` into images", path)

    def cut(index: int) -> bytes:
        return content[offset[index] : offset[index + 1]].tobytes()

    return _decoded(len(offset) - 1, cut, path)


def _decoded(count: int, cut: Callable[[int], bytes], path: Path) -> Inputs:
    """Of the first one's size."""
    try:
        with Image.open(io.BytesIO(cut(0))) as first:
            side = min(first.size)
    except (OSError, IndexError) as error:
        raise _unreadable(f"the first image cannot be read ({error})", path) from error
    return Decoded(count, (3, side, side), partial(_decode, cut, side, str(path)))


def _decode(cut: Callable[[int], bytes], side: int, where: str, index: int) -> torch.Tensor:
    return decoded(io.BytesIO(cut(index)), (side, side), channels=3, where=f"{where} image {index}")


def _stored(arrays: Mapping[str, NDArray[Any]], path: Path) -> Inputs:
    images = arrays["x_train"]
    if images.ndim != 4 or 3 not in (images.shape[1], images.shape[3]):
        raise _unreadable(f"`x_train` has the shape {images.shape}", path)
    first = images if images.shape[1] == 3 else images.transpose(0, 3, 1, 2)
    kept = first if images.dtype == np.uint8 else first.astype(np.float32)
    return Stored(torch.from_numpy(np.ascontiguousarray(kept)))


READERS: Mapping[str, Callable[[Mapping[str, NDArray[Any]], Path], Inputs]] = {"jpeg_train": _jpeg, "x_train": _stored}


def _unreadable(met: str, path: Path) -> DataError:
    return DataError(
        met, where=str(path), allowed=f"A NumPy archive with {_LAYOUT}, without pickled objects", do="Convert the file"
    )
