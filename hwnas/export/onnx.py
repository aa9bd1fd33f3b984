"""PyTorch -> ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hwnas.export import FORMATS, check_input, check_precision
from hwnas.export.draft import drafted
from hwnas.export.fold import folded
from hwnas.export.mixed.conversion import Conversion, write_onnx_conversion
from hwnas.export.mixed.kernels import FileNumbers, Mixed, check_kernels
from hwnas.export.mixed.onnx import fp32_nodes, onnx_kernels
from hwnas.export.quantize import Images, prepared
from hwnas.export.quantize_onnx import halve_onnx, quantize_onnx
from hwnas.ops import Shape
from hwnas.ops.several import NamedOutputs
from hwnas.tasks.ends import Tensors, examples, specs_of

TRACED_SAMPLES = 2
"""Samples that a file of any batch is traced with."""


def export_onnx(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    batch: int = 1,
    precision: str = "fp32",
    calibration: Images | None = None,
    whole: bool = True,
) -> Path:
    """Write the module as one ONNX file, weights inside, and return its path.

    Through the TorchScript exporter: after ONNX Runtime's optimisation its graphs are those of the dynamo exporter, at
    about 15 ms a module instead of 600.

    Args:
        batch: samples that the file takes at once; 0: any number.
        precision: fp32, fp16 or int8.
        calibration: inputs (N, C, H, W) that int8 takes the ranges of activations from. Without any, the file is for
            timing only (`hwnas.export.quantize.prepared`).
        whole: the file takes and gives float32 at every precision. Otherwise its ends are in its own precision: an
            operator that is timed alone has no conversions around it, because it has none inside a network.

    Raises:
        ConfigError: an unknown precision, or one that a network with such inputs has not.
        ExportError: the module cannot be converted, or the file cannot be written.
    """
    return _written(module, input_shape, path, batch, precision, calibration, FileNumbers(whole))


def export_signed_onnx(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    batch: int = 1,
    precision: str = "int8",
    calibration: Images | None = None,
    whole: bool = True,
) -> Path:
    """Write the module as `export_onnx` does, the activations of an int8 file signed, as ARM has instructions for."""
    return _written(module, input_shape, path, batch, precision, calibration, FileNumbers(whole, signed=True))


def export_mixed_onnx(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    mixed: Mixed,
    batch: int = 1,
    calibration: Images | None = None,
    signed: bool = False,
) -> Path:
    """Write the module as a file in which the operators that are named are int8, and all others fp32.

    The file is opened as ONNX Runtime optimises it, and its kernels are those that were asked for.

    Args:
        module: the network, or one that holds it; each operator is a child of the network.
        input_shape: of one sample.
        path: of the file.
        mixed: the operators in int8.
        batch: as in `export_onnx`.
        calibration: as in `export_onnx`.
        signed: whether activations in int8 are signed.

    Raises:
        ConfigError: a name is that of no operator, or of one that int8 changes no kernel of.
        ExportError: as `export_onnx`, or kernels are others than those that were asked for.
    """
    return _written(module, input_shape, path, batch, "int8", calibration, FileNumbers(True, signed, mixed))


def _written(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    batch: int,
    precision: str,
    calibration: Images | None,
    ends: FileNumbers,
) -> Path:
    check_precision(precision, FORMATS["onnx"])
    dynamic, batch = not batch, batch or TRACED_SAMPLES
    check_input(precision, input_shape)
    with drafted(module, path, to="ONNX") as draft:
        if isinstance(module, Conversion):
            write_onnx_conversion(module.to_precision, input_shape, draft, batch=batch, signed=ends.signed)
            return path
        batches: list[Images] = []
        if precision == "int8":
            module, batches = prepared(module, calibration, input_shape, batch, ends.quantized)
        if any(isinstance(child, nn.BatchNorm1d) for child in module.modules()):
            module = folded(module, convolutions=False)  # those the exporter folds
        inputs = examples(input_shape, batch)
        taken, given = [spec.name for spec in specs_of(input_shape)], _names(module, module(*inputs))
        torch.onnx.export(
            module,
            inputs,
            str(draft),
            dynamo=False,
            input_names=taken,
            output_names=given,
            dynamic_axes={name: {0: "batch"} for name in (*taken, *given)} if dynamic else None,
        )
        if precision == "int8":
            floats = [] if ends.mixed is None else fp32_nodes(draft, ends.mixed)
            quantize_onnx(draft, batches, whole=ends.whole, signed=ends.signed, floats=floats)
            if ends.mixed is not None:
                check_kernels(onnx_kernels(draft, ends.mixed.operators), ends.mixed.int8, path=path, title="ONNX")
        elif precision == "fp16":
            halve_onnx(draft, whole=ends.whole)
    return path


def _names(module: nn.Module, outputs: Tensors) -> list[str]:
    """Return the names of outputs."""
    if isinstance(module, NamedOutputs):
        return list(module.names)
    return [f"output_{number}" for number in range(1, len(outputs) + 1)] if isinstance(outputs, tuple) else ["output"]
