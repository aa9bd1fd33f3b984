"""PyTorch -> TFLite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from hwnas.export import FORMATS, check_input, check_precision
from hwnas.export.draft import drafted
from hwnas.export.fold import folded
from hwnas.export.mixed.conversion import Conversion, write_tflite_conversion
from hwnas.export.mixed.kernels import FileNumbers, Mixed, check_kernels
from hwnas.export.mixed.tflite import fp32_scopes, tflite_kernels
from hwnas.export.quantize import Images, prepared
from hwnas.export.quantize_tflite import halve_tflite, quantize_tflite
from hwnas.io.quiet import gc_paused
from hwnas.ops import Shape
from hwnas.registry import optional
from hwnas.tasks.ends import examples


def export_tflite(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    batch: int = 1,
    precision: str = "fp32",
    calibration: Images | None = None,
    whole: bool = True,
) -> Path:
    """Write the module as a TFLite file of a fixed batch and return its path.

    Inputs and outputs of more than two axes are channel-last. Activations stay channel-last all through, so an operator
    that is timed alone carries no transposes.

    Args:
        precision: fp32, int8, or fp16, which stores weights in fp16 and leaves it to the runtime to compute in it.
        calibration: inputs (N, C, H, W) that int8 takes the ranges of activations from. Without any, the file is for
            timing only (`hwnas.export.quantize.prepared`).
        whole: the file takes and gives float32 at every precision. Otherwise an int8 file takes and gives int8: an
            operator that is timed alone has no conversions around it, because it has none inside a network.

    Raises:
        ConfigError: an unknown precision, or one that a network with such inputs has not.
        ExportError: the module cannot be converted, or the file cannot be written.
        MissingExtra: litert-torch or ai-edge-quantizer is not installed.
    """
    check_precision(precision, FORMATS["tflite"])
    return _written(module, input_shape, path, batch, precision, calibration, FileNumbers(whole))


def export_mixed_tflite(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    mixed: Mixed,
    batch: int = 1,
    calibration: Images | None = None,
) -> Path:
    """Write the module as a file in which the operators that are named are int8, and all others fp32.

    The file is read back, and its operations are those that were asked for.

    Args:
        module: the network, or one that holds it; each operator is a child of the network.
        input_shape: of one sample.
        path: of the file.
        mixed: the operators in int8.
        batch: as in `export_tflite`.
        calibration: as in `export_tflite`.

    Raises:
        ConfigError: int8 changes no kernel of an operator that it was asked for.
        ExportError: as `export_tflite`, or kernels are others than those that were asked for.
    """
    return _written(module, input_shape, path, batch, "int8", calibration, FileNumbers(True, mixed=mixed))


def _written(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    batch: int,
    precision: str,
    calibration: Images | None,
    ends: FileNumbers,
) -> Path:
    check_input(precision, input_shape)
    if isinstance(module, Conversion):
        with drafted(module, path, to="TFLite") as draft:
            write_tflite_conversion(module.to_precision, input_shape, draft, batch=batch)
        return path
    with drafted(module, path, to="TFLite") as draft, _silent_litert() as litert:
        batches: list[Images] = []
        if precision == "int8":
            module, batches = prepared(module, calibration, input_shape, batch, ends.quantized)
        module = folded(module)
        inputs = examples(input_shape, batch)
        outputs = module(*inputs)
        channel_last = litert.to_channel_last_io(
            module, args=_spatial(inputs), outputs=_spatial(outputs if isinstance(outputs, tuple) else (outputs,))
        )
        example = tuple(tensor.movedim(1, -1).contiguous() for tensor in inputs)
        with gc_paused():  # searches for unreachable cycles take a fifth of a conversion
            converted = litert.convert(channel_last.eval(), example)
        # Its own `export` writes in native code, which ends the process where the disk is full.
        draft.write_bytes(converted.model_content())
        if precision == "int8":
            floats = [] if ends.mixed is None else fp32_scopes(draft, ends.mixed)
            quantize_tflite(draft, batches, whole=ends.whole, floats=floats)
            if ends.mixed is not None:
                check_kernels(tflite_kernels(draft, ends.mixed.operators), ends.mixed.int8, path=path, title="TFLite")
        elif precision == "fp16":
            halve_tflite(draft)
    return path


def _spatial(tensors: Sequence[torch.Tensor]) -> list[int]:
    """Return the numbers of tensors with more than two axes."""
    return [number for number, tensor in enumerate(tensors) if tensor.ndim > 2]


@contextlib.contextmanager
def _silent_litert() -> Iterator[ModuleType]:
    """Yield litert-torch without its progress lines."""
    litert = optional("litert_torch", extra="convert", why="exporting to TFLite")
    shown = litert.config.show_progress
    litert.config.show_progress = False
    try:
        yield litert
    finally:
        litert.config.show_progress = shown
