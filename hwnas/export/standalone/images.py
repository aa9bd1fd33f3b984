"""Images for networks: PNG files decoded and images fitted by numpy alone, as Pillow does both. Python 3.9 syntax."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of a PNG by its kind of colour."""
MOST_PIXELS = 1 << 28
GREY_WEIGHTS = (19595, 38470, 7471)
"""Shares of red, green and blue in grey, of 65536 (ITU-R 601-2, as Pillow rounds them)."""
COEFFICIENT_BITS = 22
"""Fraction bits of Pillow's resampling weights."""


def decode_png(content: bytes, grey: bool) -> Array:
    """Return (C, H, W) uint8 of a PNG file: one channel if it is to be grey, else three.

    Raises:
        ValueError: it is damaged, interlaced or of 16 bits.
    """
    if not content.startswith(SIGNATURE):
        raise ValueError("it is no PNG file; other kinds need Pillow")
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ValueError("the PNG file is damaged")
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if interlaced or bits > 8 or color not in CHANNELS or not 0 < width * height <= MOST_PIXELS:
        raise ValueError("PNG files that are interlaced or of 16 bits need Pillow")
    step = max(CHANNELS[color] * bits // 8, 1)
    stride = (width * CHANNELS[color] * bits + 7) // 8
    unpacker = zlib.decompressobj()
    try:
        body = b"".join(data for kind, data in chunks if kind == b"IDAT")
        rows = np.frombuffer(unpacker.decompress(body, height * (stride + 1)), np.uint8).reshape(height, stride + 1)
    except (zlib.error, ValueError) as error:
        raise ValueError("the PNG file is damaged") from error
    values = _unpacked(_unfiltered(rows, step), bits, width * CHANNELS[color])
    pixels = values.reshape(height, width, CHANNELS[color])
    if color == 3:
        palette = np.frombuffer(dict(chunks).get(b"PLTE", b""), np.uint8).reshape(-1, 3)
        if pixels.max(initial=0) >= len(palette):
            raise ValueError("the PNG file is damaged")
        pixels = palette[pixels[..., 0]]
    elif bits < 8:
        pixels = pixels * np.uint8(255 // ((1 << bits) - 1))
    return _colored(pixels, grey)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    index = len(SIGNATURE)
    while index + 12 <= len(content):
        (length,), kind = struct.unpack(">I", content[index : index + 4]), content[index + 4 : index + 8]
        data = content[index + 8 : index + 8 + length]
        if content[index + 8 + length : index + 12 + length] != struct.pack(">I", zlib.crc32(kind + data)):
            raise ValueError("the PNG file is damaged")
        yield kind, data
        index += 12 + length


def _unfiltered(rows: Array, step: int) -> Array:
    """Return the bytes of all rows, each of which begins with the number of its filter."""
    above = np.zeros(rows.shape[1] - 1, np.uint8)
    result = np.empty((len(rows), len(above)), np.uint8)
    for number, row in enumerate(rows):
        kind, line = int(row[0]), row[1:]
        if kind > 4:
            raise ValueError("the PNG file is damaged")
        if kind == 0:
            above = line
        elif kind == 1:
            filled = np.resize(np.append(line, np.zeros(-len(line) % step, np.uint8)), (-(-len(line) // step), step))
            above = np.cumsum(filled, axis=0, dtype=np.uint8).reshape(-1)[: len(line)]
        elif kind == 2:
            above = line + above
        else:
            above = _predicted(line.tolist(), above.tolist(), step, paeth=kind == 4)
        result[number] = above
    return result


def _predicted(line: list[int], above: list[int], step: int, *, paeth: bool) -> Array:
    left = [0] * step
    for index, value in enumerate(line):
        a, b, c = left[index], above[index], above[index - step] if index >= step else 0
        if not paeth:
            guess = (a + b) // 2
        else:
            apart = (abs(b - c), abs(a - c), abs(a + b - 2 * c))
            guess = (a, b, c)[apart.index(min(apart))]
        left.append((value + guess) & 255)
    return np.array(left[step:], np.uint8)


def _unpacked(rows: Array, bits: int, count: int) -> Array:
    """Return (rows, count) values of 1 to 8 bits."""
    if bits == 8:
        return rows
    single = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits)
    values: Array = (single << np.arange(bits - 1, -1, -1, dtype=np.uint8)).sum(2, dtype=np.uint8)
    return values[:, :count]


def _colored(pixels: Array, grey: bool) -> Array:
    """Return (C, H, W) of (H, W, channels), which may hold transparency; that is dropped."""
    colors = pixels[..., : 3 if pixels.shape[-1] > 2 else 1]
    if grey and colors.shape[-1] == 3:
        weighted = (colors.astype(np.int64) * GREY_WEIGHTS).sum(-1, keepdims=True)
        colors = ((weighted + 0x8000) >> 16).astype(np.uint8)
    elif not grey and colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    return np.ascontiguousarray(np.moveaxis(colors, -1, 0))


def fitted(images: Array, size: tuple[int, int]) -> Array:
    """Return (N, C, *size) uint8 of images (N, C, H, W): the largest centred part of these proportions, resized.

    Bit for bit as Pillow's `ImageOps.fit` with `BILINEAR` does it, across and then down.
    """
    height, width = images.shape[2:]
    if (height, width) == size:
        return images
    proportions, wanted = width / height, size[1] / size[0]
    across = wanted * height if proportions >= wanted and proportions != wanted else float(width)
    down = width / wanted if proportions < wanted else float(height)
    left, top = (width - across) * 0.5, (height - down) * 0.5
    result = images
    if (size[1], left, across) != (width, 0, width):
        result = _resampled(result, _weights(width, left, left + across, size[1]))
    if (size[0], top, down) != (height, 0, height):
        turned = _resampled(np.swapaxes(result, 2, 3), _weights(height, top, top + down, size[0]))
        result = np.swapaxes(turned, 2, 3)
    return np.ascontiguousarray(result)


def _weights(count: int, first: float, last: float, size: int) -> Array:
    """Return (count, size) whole numbers: the triangle filter of each new pixel, at Pillow's precision."""
    scale = (last - first) / size
    support = max(scale, 1.0)
    result = np.zeros((count, size))
    for index in range(size):
        center = first + (index + 0.5) * scale
        low = max(int(center - support + 0.5), 0)
        taken = np.arange(low, min(int(center + support + 0.5), count))
        weights = np.maximum(1 - np.abs((taken - center + 0.5) * (1 / support)), 0)
        if weights.sum():
            weights = weights / weights.sum()
        result[taken, index] = np.floor(weights * (1 << COEFFICIENT_BITS) + 0.5)
    return result


def _resampled(images: Array, weights: Array) -> Array:
    sums = images.astype(np.float64) @ weights + (1 << (COEFFICIENT_BITS - 1))  # whole numbers far below 2 ** 53
    return np.clip(np.floor(sums / (1 << COEFFICIENT_BITS)), 0, 255).astype(np.uint8)
