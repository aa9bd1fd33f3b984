"""Files of a user's as raw inputs: images, sounds, tables of columns, arrays. Python 3.9 syntax, numpy."""

from __future__ import annotations

import csv
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.images import decode_png

Array = NDArray[Any]

READABLE = "images, .wav, .csv with named columns, .npy and .npz"


def read_input(path: Path, facts: Mapping[str, Any], rank: int, channels: int) -> Array:
    """Return raw inputs (N, C, ...) in a file.

    Args:
        path: of the file; how it is read follows from its ending.
        facts: the `preprocessing` of a manifest.
        rank: axes of one input.
        channels: of one input.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return _with_batch(_array(path), rank, channels)
    if suffix == ".wav":
        return _with_batch(_sound(path, facts), rank, channels)
    if suffix == ".csv":
        return _with_batch(_table(path, facts, rank), rank, channels)
    pixels, ends = _image(path, facts, rank), facts["pixels"]["range"]
    if pixels.max(initial=0) > ends[1]:
        raise ValueError(
            f"its pixels go up to {pixels.max()}, those of the training images from {ends[0]:g} to {ends[1]:g}"
        )
    return _with_batch(pixels, rank, channels)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name.

    Raises:
        OSError, ValueError: it cannot be read, or holds objects.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except OSError:
        raise
    except Exception as error:  # a damaged archive raises errors of several modules
        raise ValueError(f"it is no archive of arrays, or damaged ({error})") from error


def _array(path: Path) -> Array:
    if path.suffix.lower() == ".npy":
        loaded: Array = np.load(path, allow_pickle=False)
        return loaded
    arrays = read_arrays(path)
    if "inputs" not in arrays and len(arrays) != 1:
        raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}, and no `inputs`")
    return arrays.get("inputs", next(iter(arrays.values())))


def _with_batch(values: Array, rank: int, channels: int) -> Array:
    """Return (N, C, ...) of one input or of several; those of one channel may lack its axis."""
    if values.ndim == rank - 1 > 0:
        values = values[None]
    if values.ndim == rank > 1 and channels == 1 != len(values):
        values = values[:, None]
    if values.ndim not in (rank, rank + 1):
        raise ValueError(f"an input has {rank} axes, this one is of shape {values.shape}")
    return values[None] if values.ndim == rank else values


def _image(path: Path, facts: Mapping[str, Any], rank: int) -> Array:
    if rank != 3 or "pixels" not in facts:
        raise ValueError(f"these networks take no images; what can be read: {READABLE}")
    channels = len(facts["mean"])
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return decode_png(path.read_bytes(), channels == 1)
    try:
        with Image.open(path) as opened:
            pixels = np.array(ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB"))
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's exceptions share no base
        raise ValueError("it is damaged, or of no known format") from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _sound(path: Path, facts: Mapping[str, Any]) -> Array:
    """Return (channels, samples) whole numbers, on the scale of the training files."""
    try:
        with wave.open(str(path)) as sound:
            rate, channels, size = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
            frames = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError("it is damaged, or no WAV file of whole numbers") from error
    wanted = facts.get("values", {}).get("rate_hz")
    if wanted is not None and rate != wanted:
        raise ValueError(f"it has {rate} samples a second, the networks take {wanted:g}")
    steps = facts["steps"]
    full = next((float(step["by"]) for step in steps if step["step"] == "divide"), 1.0)
    offset = next((float(step["by"]) for step in steps if step["step"] == "subtract"), 0.0)
    if size == 1:
        whole = np.frombuffer(frames, np.uint8).astype(np.int32) - 128
    elif size == 3:
        parts = np.frombuffer(frames, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = ((parts[:, 0] << 8) | (parts[:, 1] << 16) | (parts[:, 2] << 24)) >> 8
    else:
        whole = np.frombuffer(frames, f"<i{size}").astype(np.int32)
    values = whole.reshape(-1, channels).T * (full / (1 << (8 * size - 1))) + offset
    return np.asarray(values, np.float32)


def _table(path: Path, facts: Mapping[str, Any], rank: int) -> Array:
    """Return (rows, columns), or of signals (columns, rows)."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    names = facts.get("values", {}).get("channels")
    try:
        chosen = list(range(len(rows[0]))) if names is None else [rows[0].index(name) for name in names]
        numbers = np.array([[float(row[column]) for column in chosen] for row in rows[1:] if row], np.float32)
    except (ValueError, IndexError) as error:
        wanted = "a line of names first" if names is None else f"the columns {', '.join(names)}"
        raise ValueError(f"it needs {wanted}, and numbers below them ({error})") from error
    return numbers if rank == 1 else numbers.T
