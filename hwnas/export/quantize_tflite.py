"""A TFLite file at int8 or fp16."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hwnas.export.quantize import Images
from hwnas.registry import optional

FLOAT_SCOPES = r"^[^;]*\.RawInput_[^/;]*/(?![^/;]*_body[/;])[^;]*;"
"""Scopes of operations on raw inputs before a network: the parts of `hwnas.export.ends.raw_input.RawInput` but its
`body`, by the names that the converter gives them."""


def quantize_tflite(path: Path, batches: Sequence[Images], *, whole: bool, floats: Sequence[str] = ()) -> None:
    """Quantise the float file in place to full integers: signed activations, signed weights, one scale a channel.

    Args:
        path: of the file.
        batches: inputs to calibrate with.
        whole: whether the file keeps float inputs and outputs.
        floats: scopes of operations that stay in floats.

    Raises:
        MissingExtra: ai-edge-quantizer is not installed.
    """
    quantizer = _package("quantizer").Quantizer(str(path))
    quantizer.load_quantization_recipe(_package("recipe").static_wi8_ai8())
    if whole:
        types, algorithms = _package("qtyping"), _package("algorithm_manager")
        for end in (types.TFLOperationName.INPUT, types.TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(
                regex=".*", operation_name=end, algorithm_key=algorithms.AlgorithmName.NO_QUANTIZE
            )
    _leave_floats(quantizer, FLOAT_SCOPES, *(f"^{re.escape(scope)};?$" for scope in floats))
    if ranges := _ranges(quantizer.get_quantization_recipe(), path, batches):
        _write(quantizer, path, ranges)  # a file without operators has no ranges, and nothing to quantise


def halve_tflite(path: Path) -> None:
    """Turn the weights of convolutions and linear layers into fp16 in place; inputs and outputs stay float32.

    Raises:
        MissingExtra: ai-edge-quantizer is not installed.
    """
    types, algorithms = _package("qtyping"), _package("algorithm_manager")
    config = types.OpQuantizationConfig(
        weight_tensor_config=types.TensorQuantizationConfig(num_bits=16, dtype=types.TensorDataType.FLOAT),
        compute_precision=types.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    quantizer = _package("quantizer").Quantizer(str(path))
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        quantizer.update_quantization_recipe(
            regex=".*",
            operation_name=types.TFLOperationName(name),
            op_config=config,
            algorithm_key=algorithms.AlgorithmName.FLOAT_CASTING,
        )
    _leave_floats(quantizer, FLOAT_SCOPES)
    _write(quantizer, path, None)


def _leave_floats(quantizer: Any, *scopes: str) -> None:
    """Leave the operations of scopes, which are regular expressions, as they are."""
    for scope in scopes:
        quantizer.update_quantization_recipe(
            regex=scope,
            operation_name=_package("qtyping").TFLOperationName.ALL_SUPPORTED,
            algorithm_key=_package("algorithm_manager").AlgorithmName.NO_QUANTIZE,
        )


def _ranges(recipe: object, path: Path, batches: Sequence[Images]) -> object:
    """Return the smallest and largest value of each tensor over all batches. By default the package takes a moving
    average over them, which cuts off what lies beyond a typical batch: on digits, batch 1, 16 dB of noise instead of
    34."""
    interpreter = optional("ai_edge_litert.interpreter", extra="convert", why="calibrating a TFLite file")
    ((key, signature),) = interpreter.Interpreter(model_path=str(path)).get_signature_list().items()
    name = signature["inputs"][0]
    samples = [{name: np.moveaxis(batch, 1, -1)} for batch in batches]
    manager = _package("recipe_manager").RecipeManager()
    manager.load_quantization_recipe(recipe)
    update = _package("utils.qsv_utils").min_max_update
    calibrator = _package("calibrator").Calibrator(str(path), num_threads=1, qsv_update_func=update)
    calibrator.calibrate({key: samples}, manager)
    ranges: object = calibrator.get_model_qsvs()
    return ranges


def _write(quantizer: object, path: Path, ranges: object) -> None:
    done = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)  # type: ignore[attr-defined]
    path.write_bytes(bytes(done.quantized_model))


def _package(module: str) -> ModuleType:
    return optional(f"ai_edge_quantizer.{module}", extra="convert", why="quantising a TFLite file")
