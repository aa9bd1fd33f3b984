"""A folder of images: `root/CLASS/*`, or `root/train/CLASS/*` with `validation` and `test` beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hwnas.data.facts import Raw, decoding
from hwnas.data.source import Decoded, Pool, Source, SplitName, find
from hwnas.errors import ConfigError, DataError, reason
from hwnas.io.regular import open_regular

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_LAYOUT = "A folder of classes holds one folder of images for each class"


def read(base: Path, *, path: str, resolution: int, channels: int = 3) -> Source:
    """Read images, decoded when they are used: shorter side resized, centre cropped, grey or RGB by `channels`."""
    if channels not in (1, 3):
        raise ConfigError(
            f"`channels` is {channels!r}", where="data", allowed="Images have 1 or 3 channels", do="Correct it"
        )
    root = find(Path(path), base, what="folder", do=f"Correct the path. {_LAYOUT}")
    if not root.is_dir():
        raise DataError("this is no folder", where=str(root), allowed=_LAYOUT, do="Name the folder")
    folders = _folders(root)
    if "train" in folders:
        splits = {_SPLIT_FOLDERS[name]: folder for name, folder in folders.items() if name in _SPLIT_FOLDERS}
    else:
        splits = {"train": root}
    class_names = tuple(_folders(splits["train"]))
    pools = {split: _pool(folder, class_names, resolution, channels) for split, folder in splits.items()}
    color = "grey" if channels == 1 else "RGB"
    raw = Raw(color, steps=decoding(color, resolution), order="classes by name, and the files of each class by path")
    return Source(class_names, pools, raw)


def _pool(folder: Path, class_names: tuple[str, ...], resolution: int, channels: int) -> Pool:
    folders = _folders(folder)
    if unlike := sorted(set(folders) ^ set(class_names)):
        raise DataError(
            f"the class `{unlike[0]}` is in one split and not in the other",
            where=str(folder),
            allowed=f"Every split has the classes of the training split: {', '.join(class_names)}",
            do="Rename or add the folder",
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        paths = sorted(path for path in folders[class_name].rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise DataError(
                f"the class `{class_name}` has no images",
                where=str(folders[class_name]),
                allowed=f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
                do="Add images or remove the folder",
            )
        files += paths
        labels += [label] * len(paths)
    decode = partial(_decode, tuple(files), resolution, channels)
    return Pool(Decoded(len(files), (channels, resolution, resolution), decode), torch.tensor(labels), str(folder))


def _decode(files: tuple[Path, ...], resolution: int, channels: int, index: int) -> Tensor:
    try:
        with open_regular(files[index]) as content:
            return decoded(content, resolution, channels=channels, where=str(files[index]))
    except OSError as error:
        raise _unreadable(error, str(files[index])) from error


def decoded(content: IO[bytes], resolution: int, *, channels: int, where: str) -> Tensor:
    """Return (channels, resolution, resolution) uint8: upright, shorter side resized, centre cropped.

    Raises:
        DataError: these bytes are not an image.
    """
    try:
        with Image.open(content) as opened:
            image = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(error, where) from error
    if image.size != (resolution, resolution):
        image = ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


def _unreadable(error: Exception, where: str) -> DataError:
    # Pillow names a Python object in place of the file
    why = "it is damaged, or of no known format" if isinstance(error, UnidentifiedImageError) else reason(error)
    return DataError(
        f"the image cannot be read ({why})",
        where=where,
        allowed="Every file is a whole image",
        do="Replace or remove the file",
    )


def _folders(folder: Path) -> dict[str, Path]:
    folders = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}
    if not folders:
        raise DataError("the folder holds no folders", where=str(folder), allowed=_LAYOUT, do="Sort the images so")
    return folders
