"""PyTorch -> ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hwnas.export import FORMATS, check_input, check_precision
from hwnas.export.draft import drafted
from hwnas.export.fold import folded
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
    activations: str = "unsigned",
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
        activations: `unsigned` or `signed` integers of an int8 file: x86 has instructions for the one, ARM for the
            other.

    Raises:
        ConfigError: an unknown precision, or one that a network with such inputs has not.
        ExportError: the module cannot be converted, or the file cannot be written.
    """
    check_precision(precision, FORMATS["onnx"])
    dynamic, batch = not batch, batch or TRACED_SAMPLES
    check_input(precision, input_shape)
    with drafted(module, path, to="ONNX") as draft:
        batches: list[Images] = []
        if precision == "int8":
            module, batches = prepared(module, calibration, input_shape, batch)
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
            quantize_onnx(draft, batches, whole=whole, signed=activations == "signed")
        elif precision == "fp16":
            halve_onnx(draft, whole=whole)
    return path


def _names(module: nn.Module, outputs: Tensors) -> list[str]:
    """Return the names of outputs."""
    if isinstance(module, NamedOutputs):
        return list(module.names)
    return [f"output_{number}" for number in range(1, len(outputs) + 1)] if isinstance(outputs, tuple) else ["output"]
