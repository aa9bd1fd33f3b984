"""The quantization of a boundary between int8 files: one scale and one zero point, written in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.io.quiet import suppress_stdio
from hwnas.registry import optional

SIGN = 128
"""Offset between a signed zero point and that of the same numbers in unsigned bytes."""


def codec_of_head(path: Path, packed: bool) -> BoundaryCodec | None:
    """Return the codec whose bytes are those that an int8 head computes; None if its output is not quantized."""
    found = _tflite_output(path) if path.suffix == ".tflite" else _onnx_output(path)
    if found is None:
        return None
    return BoundaryCodec.of(*found, packed)


def write_quantization(path: Path, codec: BoundaryCodec) -> bool:
    """Give the first step of an int8 tail in ONNX the quantization of a boundary, and return whether it has such a
    step. Files of other formats keep their own."""
    if path.suffix != ".onnx":
        return False
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    readers = [node for node in model.graph.node if model.graph.input[0].name in node.input]
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return False
    first = readers[0]
    pairs = [first, *(node for node in model.graph.node if first.output[0] in node.input)]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    dtype = numpy_helper.to_array(constants[first.input[2]]).dtype
    offset = 0 if dtype == np.uint8 else SIGN
    values = (np.asarray(codec.scale, np.float32), np.asarray(codec.zero_point - offset, dtype))
    names = [f"boundary_{kind}" for kind in ("scale", "zero_point")]
    model.graph.initializer.extend(numpy_helper.from_array(*pair) for pair in zip(values, names, strict=True))
    for node in pairs:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.input[1], node.input[2] = names
    onnx.save(model, path)
    return True


def _onnx_output(path: Path) -> tuple[float, int] | None:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    writer = next((node for node in graph.node if graph.output[0].name in node.output), None)
    if writer is None or writer.op_type != "DequantizeLinear":
        return None
    constants = {tensor.name: tensor for tensor in graph.initializer}
    scale, zero_point = (numpy_helper.to_array(constants[name]) for name in writer.input[1:3])
    return float(scale), int(zero_point) + (0 if zero_point.dtype == np.uint8 else SIGN)


def _tflite_output(path: Path) -> tuple[float, int] | None:
    package = optional("ai_edge_litert.interpreter", extra="tflite", why="reading a TFLite file")
    with suppress_stdio():
        opened: Any = package.Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=package.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    output = opened.get_output_details()[0]["index"]
    writer = next((one for one in opened._get_ops_details() if output in one["outputs"]), None)
    if writer is None or writer["op_name"] != "DEQUANTIZE":
        return None
    tensor = next(one for one in opened.get_tensor_details() if one["index"] == writer["inputs"][0])
    scale, zero_point = tensor["quantization"]
    return float(scale), int(zero_point) + (SIGN if np.dtype(tensor["dtype"]) == np.int8 else 0)
