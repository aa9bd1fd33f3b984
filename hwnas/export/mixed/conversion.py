"""Files with one conversion of numbers and nothing else: what lies between operators of two precisions."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from torch import Tensor, nn

from hwnas.ops import Shape
from hwnas.registry import optional

SCALE = 0.05
"""Of the integers of a file that is timed: the numbers do not matter."""
OPSET = 17


@final
class Conversion(nn.Module):
    """Numbers as they are, in another precision: `int8` or `fp32`. Writers of files know it."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to_precision = to

    def forward(self, x: Tensor) -> Tensor:
        """The numbers."""
        return x

    def extra_repr(self) -> str:
        """Return the precision: files of two precisions have two names."""
        return self.to_precision


def write_onnx_conversion(to: str, shape: Shape, path: Path, *, batch: int, signed: bool) -> None:
    """Write a conversion as an ONNX file.

    Images in integers are channel-last in ONNX Runtime's kernels, those in floats are not: the axes are moved too.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    sizes, kind = [batch, *shape], TensorProto.INT8 if signed else TensorProto.UINT8
    rank = len(sizes)
    last, first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    turned, zero = rank > 2, np.array(0, np.int8) if signed else np.array(128, np.uint8)
    constants = [numpy_helper.from_array(np.array(SCALE, np.float32), "scale"), numpy_helper.from_array(zero, "zero")]
    inside = [sizes[axis] for axis in last] if turned else sizes
    numbers = "numbers" if turned else "output" if to == "int8" else "input"
    if to == "int8":
        ends = (TensorProto.FLOAT, sizes), (kind, inside)
        steps = [helper.make_node("QuantizeLinear", ["input", "scale", "zero"], [numbers])]
        steps += [helper.make_node("Transpose", [numbers], ["output"], perm=last)] if turned else []
    else:
        ends = (kind, inside), (TensorProto.FLOAT, sizes)
        steps = [helper.make_node("Transpose", ["input"], [numbers], perm=first)] if turned else []
        steps.append(helper.make_node("DequantizeLinear", [numbers, "scale", "zero"], ["output"]))
    graph = helper.make_graph(
        steps,
        "conversion",
        [helper.make_tensor_value_info("input", *ends[0])],
        [helper.make_tensor_value_info("output", *ends[1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    end = "output" if to == "int8" else "input"
    model.metadata_props.add(key=f"{end}_quantization", value=f"{SCALE!r} {int(zero)}")
    onnx.save(model, path)


def write_tflite_conversion(to: str, shape: Shape, path: Path, *, batch: int) -> None:
    """Write a conversion as a TFLite file."""
    schema = optional("ai_edge_litert.schema_py_generated", extra="convert", why="writing a TFLite file")
    sizes = np.array([batch, *shape[1:], shape[0]], dtype=np.int32)
    kinds = (schema.TensorType.FLOAT32, schema.TensorType.INT8)
    model, graph, code, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    graph.tensors = []
    for number, kind in enumerate(kinds if to == "int8" else kinds[::-1]):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = ("input", "output")[number].encode(), sizes, kind, 0
        if kind == schema.TensorType.INT8:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = (
                np.array([SCALE], np.float32),
                np.zeros(1, np.int64),
            )
        graph.tensors.append(tensor)
    builtin = schema.BuiltinOperator.QUANTIZE if to == "int8" else schema.BuiltinOperator.DEQUANTIZE
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 2
    zeros, ones = np.zeros(1, np.int32), np.ones(1, np.int32)
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, zeros, ones
    graph.inputs, graph.outputs, graph.operators = zeros, ones, [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = optional("flatbuffers", extra="convert", why="writing a TFLite file").Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
