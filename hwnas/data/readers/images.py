"""A folder of images: `root/CLASS/*`, or `root/train/CLASS/*` with `validation` and `test` beside it."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, final

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hwnas.data.class_folders import ClassFiles, files_by_class, unreadable, without_unreadable
from hwnas.data.facts import Raw, decoding
from hwnas.data.resizing import Size, size_of
from hwnas.data.source import Decoded, Inputs, Pool, Source, SplitName, Stored
from hwnas.errors import ConfigError
from hwnas.io.regular import open_regular, read_regular
from hwnas.words import counted

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_GREY = ("1", "L", "LA", "I", "I;16", "F")


def read(base: Path, *, path: str, resolution: int | list[int], channels: int = 3) -> Source:
    """Read images of any size: upright, the largest centred part cropped and resized, grey or RGB by `channels`.

    A damaged file is left out, which a note tells. Images are kept in memory if all fit there, else decoded each time.
    """
    if channels not in (1, 3):
        raise ConfigError(
            f"`channels` is {channels!r}", where="data", allowed="Images have 1 or 3 channels", do="Correct it"
        )
    size = size_of(resolution)
    class_names, splits = files_by_class(path, base, what="images", suffixes=IMAGE_SUFFIXES)
    pools: dict[SplitName, Pool] = {}
    forms: list[_ImageForm] = []
    notes: tuple[str, ...] = ()
    for split, files in splits.items():
        pools[split], found, left_out = _pool(files, size, channels)
        forms += found
        notes += left_out
    color = "grey" if channels == 1 else "RGB"
    order = "classes by name, and the files of each class by path"
    raw = Raw(color, steps=decoding(color, size), order=order, notes=(*_unlike(forms, size, color), *notes))
    return Source(class_names, pools, raw)


@final
@dataclass(frozen=True)
class _ImageForm:
    """Form of an image in its file."""

    width: int
    height: int
    grey: bool


def _pool(files: ClassFiles, size: Size, channels: int) -> tuple[Pool, list[_ImageForm], tuple[str, ...]]:
    shape = (channels, *size)
    keep = Decoded(len(files.files), shape, lambda index: torch.empty(shape)).fits
    kept, found, notes = without_unreadable(files, partial(_examined, size, channels, keep), what="images")
    inputs: Inputs
    if keep:
        inputs = Stored(torch.stack([pixels for pixels, _ in found if pixels is not None]))
    else:
        inputs = Decoded(len(kept.files), shape, partial(_decode, kept.files, size, channels))
    return Pool(inputs, kept.labels, str(kept.folder)), [form for _, form in found], notes


def _examined(size: Size, channels: int, keep: bool, file: Path) -> tuple[Tensor | None, _ImageForm]:
    """Return the image if it is to be kept, and its form; without decoding it, its checksums alone are looked at."""
    content = io.BytesIO(read_regular(file))
    try:
        with Image.open(content) as opened:
            form = _ImageForm(*opened.size, opened.mode in _GREY)
            if not keep:
                opened.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(error, file, what="images", why=_why(error)) from error
    return decoded(content, size, channels=channels, where=str(file)) if keep else None, form


def _unlike(forms: list[_ImageForm], size: Size, color: str) -> tuple[str, ...]:
    """Return what is done to images of unlike sizes and colours, in words."""
    notes: tuple[str, ...] = ()
    sizes = Counter((form.height, form.width) for form in forms)
    if len(sizes) > 1:
        ends = ["x".join(map(str, end)) for end in (min(sizes, key=_area), max(sizes, key=_area))]
        part = "square" if size[0] == size[1] else f"part of {size[0]}:{size[1]}"
        notes += (
            f"images have {len(sizes)} sizes, {ends[0]} to {ends[1]} (height x width): the largest centred {part} of "
            f"each is resized to {size[0]}x{size[1]}",
        )
    if 0 < (grey := sum(form.grey for form in forms)) < len(forms):
        notes += (f"{counted(grey, 'image')} of {len(forms):,} are grey, the others coloured: all become {color}",)
    return notes


def _area(size: Size) -> int:
    return size[0] * size[1]


def _decode(files: tuple[Path, ...], size: Size, channels: int, index: int) -> Tensor:
    try:
        with open_regular(files[index]) as content:
            return decoded(content, size, channels=channels, where=str(files[index]))
    except OSError as error:
        raise unreadable(error, files[index], what="images") from error


def decoded(content: IO[bytes], size: Size, *, channels: int, where: str) -> Tensor:
    """Return (channels, *size) uint8: upright, the largest centred part of these proportions, resized.

    Raises:
        DataError: these bytes are not an image.
    """
    try:
        with Image.open(content) as opened:
            image = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(error, where, what="images", why=_why(error)) from error
    if image.size != size[::-1]:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


def _why(error: Exception) -> str | None:
    # Pillow names a Python object in place of the file
    return "it is damaged, or of no known format" if isinstance(error, UnidentifiedImageError) else None
