"""Codecs of what crosses the link: inputs as they are or as images, boundaries in three precisions, packed or not."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.wire import Shape, TensorFormat
from hwnas.errors import MissingExtra
from hwnas.registry import optional

Array = NDArray[Any]
Precision = Literal["fp32", "fp16", "int8"]

JPEG_QUALITIES = (95, 85, 75, 50)
ZSTD_LEVEL = 3
BYTE_STEPS = 255
"""Steps of the eight bits that a boundary is rounded to."""
DTYPES = {"fp32": "float32", "fp16": "float16", "int8": "uint8"}
TIMED_SAMPLES = 5


@dataclass(frozen=True)
class BoundaryCodec:
    """Rounding of a boundary to a precision, and whether zstd packs it.

    Args:
        precision: `fp32` changes nothing; `int8` sends unsigned bytes with one scale and zero point for the tensor.
        packed: True if zstd compresses the bytes.
        low: smallest value that bytes can stand for.
        high: largest one.

    Example:
        >>> codec = BoundaryCodec("int8", low=0.0, high=2.55)
        >>> codec.decode(codec.encode(np.array([0.0, 0.1, 2.55, 9.0], np.float32)), (4,)).round(2).tolist()
        [0.0, 0.10000000149011612, 2.549999952316284, 2.549999952316284]
    """

    precision: Precision
    packed: bool = False
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, scale: float, zero_point: int, packed: bool = False) -> BoundaryCodec:
        """Return the codec of bytes with a scale and a zero point."""
        return cls("int8", packed, -zero_point * scale, (BYTE_STEPS - zero_point) * scale)

    @property
    def name(self) -> str:
        """As plans and options spell it: `int8`, `int8+zstd`."""
        return self.precision + ("+zstd" if self.packed else "")

    @property
    def scale(self) -> float:
        """Step of the bytes; 0 lies on one of them."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        return max(high - low, 1e-12) / BYTE_STEPS

    @property
    def zero_point(self) -> int:
        """The byte that stands for 0."""
        return round(-min(self.low, 0.0) / self.scale)

    def format(self, shape: Shape) -> TensorFormat:
        """Return how a boundary of this shape travels."""
        return TensorFormat("boundary", shape, DTYPES[self.precision], "zstd" if self.packed else "")

    def encode(self, boundary: Array) -> bytes:
        """Return the bytes of one sample's boundary, before the protocol's own."""
        content = self.rounded(boundary).tobytes()
        return _zstd().ZstdCompressor(level=ZSTD_LEVEL).compress(content) if self.packed else content

    def decode(self, content: bytes, shape: Shape) -> Array:
        """Return the boundary in float32 as the cloud sees it."""
        if self.packed:
            content = _zstd().ZstdDecompressor().decompress(content)
        return self.restored(np.frombuffer(content, DTYPES[self.precision]).reshape(shape))

    def rounded(self, boundary: Array) -> Array:
        """Return the numbers that are sent, of any number of samples."""
        if self.precision != "int8":
            return boundary.astype(DTYPES[self.precision])
        steps = np.round(boundary / self.scale) + self.zero_point
        return np.clip(steps, 0, BYTE_STEPS).astype(np.uint8)

    def restored(self, numbers: Array) -> Array:
        """Return float32 from the numbers that were sent."""
        if self.precision != "int8":
            return numbers.astype(np.float32)
        return ((numbers.astype(np.float32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)


@dataclass(frozen=True)
class InputCodec:
    """An input as it is, or an image as a file.

    Args:
        kind: `raw` sends the numbers, `png` and `jpeg` a file of an image in bytes.
        quality: of `jpeg`, 1 to 100.
    """

    kind: Literal["raw", "png", "jpeg"]
    quality: int = 0

    @property
    def name(self) -> str:
        """As plans spell it: `raw`, `png`, `jpeg-85`."""
        return f"{self.kind}-{self.quality}" if self.quality else self.kind

    @property
    def is_lossless(self) -> bool:
        """True if the cloud sees the very input."""
        return self.kind != "jpeg"

    def format(self, shape: Shape, dtype: str) -> TensorFormat:
        """Return how an input of this shape travels."""
        return TensorFormat("input", shape, dtype, "" if self.kind == "raw" else self.kind)

    def encode(self, sample: Array) -> bytes:
        """Return the bytes of one input; images are (channels, height, width) in bytes."""
        if self.kind == "raw":
            return sample.tobytes()
        buffer = io.BytesIO()
        options: dict[str, Any] = {"quality": self.quality} if self.quality else {}
        _image(sample).save(buffer, format=self.kind, **options)
        return buffer.getvalue()

    def decode(self, content: bytes, shape: Shape, dtype: str) -> Array:
        """Return the input as the cloud sees it."""
        if self.kind == "raw":
            return np.frombuffer(content, dtype).reshape(shape)
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(content)))
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def input_codecs(shape: Shape, dtype: str) -> list[InputCodec]:
    """Return the ways in which inputs can be sent: as files too, if they are grey or coloured images in bytes.

    >>> [codec.name for codec in input_codecs((3, 32, 32), "uint8")]
    ['raw', 'png', 'jpeg-95', 'jpeg-85', 'jpeg-75', 'jpeg-50']
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or dtype != "uint8":
        return [InputCodec("raw")]
    return [InputCodec("raw"), InputCodec("png"), *(InputCodec("jpeg", quality) for quality in JPEG_QUALITIES)]


def has_zstd() -> bool:
    """Return whether the package that packs boundaries is installed."""
    try:
        _zstd()
    except MissingExtra:
        return False
    return True


def encode_ms(codec: BoundaryCodec | InputCodec, samples: Sequence[Array]) -> float:
    """Return the median milliseconds in which this machine encodes one of the samples."""
    times = []
    for sample in samples[:TIMED_SAMPLES]:
        begun = time.perf_counter_ns()
        codec.encode(sample)
        times.append((time.perf_counter_ns() - begun) / 1e6)
    return median(times)


def _image(sample: Array) -> Any:
    from PIL import Image

    return Image.fromarray(sample[0] if len(sample) == 1 else sample.transpose(1, 2, 0))


def _zstd() -> Any:
    return optional("zstandard", extra="zstd", why="codec `zstd`")
