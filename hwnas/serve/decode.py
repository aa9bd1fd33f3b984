"""Content of a request's tensor -> numbers that the model file takes. Nothing larger than announced is unpacked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.preprocess import preprocessed
from hwnas.errors import DataError
from hwnas.registry import optional
from hwnas.serve.bundle import ServedModel

Array = NDArray[Any]
IMAGE_FORMATS = {"png": "PNG", "jpeg": "JPEG"}


def decode(model: ServedModel, content: bytes | memoryview) -> Array:
    """Return one sample in float32, without a batch axis, from the content of a request's tensor.

    Raises:
        DataError: it cannot be unpacked, or is no sample of the announced shape.
    """
    form = model.request
    if form.compression in IMAGE_FORMATS:
        numbers = _image(content, IMAGE_FORMATS[form.compression], form.shape)
    else:
        plain = _unpacked(content, form.plain_bytes) if form.compression == "zstd" else content
        if len(plain) != form.plain_bytes:
            raise malformed(f"the tensor has {len(plain)} bytes", f"It has {form.plain_bytes}")
        numbers = np.frombuffer(plain, form.dtype).reshape(form.shape)
    values = numbers.astype(np.float32)
    if model.scale:
        values = (values - np.float32(model.zero_point)) * np.float32(model.scale)
    return preprocessed(values, model.preprocessing, model.input_shape)


def malformed(problem: str, allowed: str) -> DataError:
    """Return the error of a request that cannot be answered."""
    return DataError(
        problem, where="request", allowed=allowed, do="Correct the client, or use client.py of the deployment"
    )


def _unpacked(content: bytes | memoryview, size: int) -> bytes:
    zstandard = optional("zstandard", extra="zstd", why="codec `zstd`")
    try:
        if zstandard.frame_content_size(content) != size:
            raise malformed("the compressed tensor unpacks to another size", f"It has {size} bytes")
        unpacked: bytes = zstandard.ZstdDecompressor().decompress(bytes(content))
    except zstandard.ZstdError as error:
        raise malformed("the tensor is no frame of zstd", "It is compressed by zstd, in one frame") from error
    return unpacked


def _image(content: bytes | memoryview, format: str, shape: tuple[int, ...]) -> Array:
    from PIL import Image

    mode, size = {1: "L", 3: "RGB"}[shape[0]], (shape[2], shape[1])
    wanted = f"It is an image of mode {mode}, {size[0]} x {size[1]} pixels"
    try:
        with Image.open(io.BytesIO(content), formats=(format,)) as image:
            if image.size != size or image.mode != mode:
                raise malformed(f"the image is {image.mode}, {image.size[0]} x {image.size[1]} pixels", wanted)
            pixels = np.asarray(image)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise malformed(f"the content cannot be decoded as {format}", wanted) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
