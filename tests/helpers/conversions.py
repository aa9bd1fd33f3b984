"""Conversions to TFLite, seconds each, cached on disk for the whole test run: all its processes share one folder.

A file is named by the digest of all that its conversion depends on. Modules of classes whose code a digest does not
hold, such as those that a test defines, are converted each time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.export import tflite
from hwnas.export.draft import drafted
from hwnas.ops import Shape

FOLDER = "HWNAS_TEST_CONVERSIONS"
"""The environment variable that names the folder."""
FIXED = ("hwnas.", "torch.", "collections.", "builtins.")
"""The packages whose code stays as it is while tests run."""


def install() -> None:
    """Put the cache before the exporter, in this process: those that it starts convert by themselves."""
    if not hasattr(tflite.export_tflite, "__wrapped__"):
        tflite.export_tflite = cached(tflite.export_tflite, Path(os.environ[FOLDER]))


def cached(export: Callable[..., Path], folder: Path) -> Callable[..., Path]:
    """The exporter, which copies a file of the folder where that holds what it would write."""

    @functools.wraps(export)  # artifacts are named after their exporter, and other processes import it by name
    def export_or_copy(module: nn.Module, input_shape: Shape, path: Path, **options: Any) -> Path:
        key = digest(module, input_shape, options)
        if key is None:
            return export(module, input_shape, path, **options)
        entry = folder / f"{key}.tflite"
        if entry.is_file():
            with drafted(module, path, to="TFLite") as draft:
                shutil.copyfile(entry, draft)
            return path
        export(module, input_shape, path, **options)
        part = entry.with_suffix(f".{os.getpid()}")
        shutil.copyfile(path, part)
        part.replace(entry)
        return path

    return export_or_copy


class _UnknownCode(Exception):
    pass


class _Pickler(pickle.Pickler):
    """Writes a tensor as its numbers, without what only this process knows of it."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and not f"{obj.__module__}.".startswith(FIXED):
            raise _UnknownCode
        if isinstance(obj, torch.Tensor):
            values = obj.detach().cpu().contiguous()
            return str, (
                f"{values.dtype} {tuple(values.shape)} {values.view(-1).view(torch.uint8).numpy().tobytes()!r}",
            )
        return NotImplemented


def digest(module: nn.Module, input_shape: Shape, options: dict[str, Any]) -> str | None:
    """The digest of a module with its weights, attributes and names of classes, of the input's shape and of the
    options; None where that does not say what is converted."""
    content = io.BytesIO()
    calibration = options.get("calibration")
    arrays = calibration if isinstance(calibration, tuple) else (calibration,)
    numbers = [(array.shape, array.dtype.str, array.tobytes()) for array in arrays if array is not None]
    given = {**options, "calibration": numbers}
    try:
        _Pickler(content, protocol=5).dump((sorted(given.items()), tuple(input_shape), module))
    except (_UnknownCode, pickle.PicklingError, AttributeError, TypeError):
        return None
    return hashlib.sha256(content.getvalue()).hexdigest()
