"""An ONNX file at int8 or fp16."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from hwnas.export.ends.raw_input import FRONT
from hwnas.export.quantize import Images

FLOAT_NODES = f"/{FRONT}."
"""Part of the names of nodes that compute on raw inputs before a network."""


CALIBRATORS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
"""Ways to choose a tensor's range -> ONNX Runtime's names of them."""


def quantize_onnx(
    path: Path,
    batches: Sequence[Images],
    *,
    whole: bool,
    signed: bool = False,
    calibrator: str = "minmax",
    floats: Sequence[str] = (),
) -> None:
    """Quantise the float file in place: quantise-dequantise pairs, which ONNX Runtime fuses into integer operators.

    Activations are unsigned unless `signed`, and weights signed, one scale a channel. Measured on a Xeon with VNNI,
    whose instruction multiplies unsigned by signed bytes: signed activations leave residual additions and products in
    floats (1.1 to 11 times as long), and unsigned weights take up to 2.3 times as long. `whole` keeps float inputs and
    outputs; otherwise the file begins and ends with integers, as an operator inside a network does. `calibrator` is one
    of `CALIBRATORS`, `floats` are names of nodes that stay in floats.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the package has no types
        def __init__(self, name: str) -> None:
            self.inputs = iter([{name: batch} for batch in batches])

        def get_next(self) -> dict[str, Images] | None:
            return next(self.inputs, None)

    model = onnx.load(path)
    _own_constants(model)
    add_pre_process_metadata(model)  # or it asks for a preparation that changes nothing here
    with _unlogged():
        quantize_static(
            model,
            str(path),
            Reader(model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            calibrate_method=CalibrationMethod[CALIBRATORS[calibrator]],
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*_in_floats(model), *floats],
            extra_options={"ForceQuantizeNoInputCheck": True},  # a pooling that comes first is quantised as well
        )
    if not whole:
        model = onnx.load(path)
        _bare(model)
        onnx.save(model, path)


def halve_onnx(path: Path, *, whole: bool) -> None:
    """Turn the float file into fp16 in place; `whole` keeps float32 inputs and outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(path)
    with _unlogged():
        onnx.save(convert_float_to_float16(model, keep_io_types=whole, node_block_list=_in_floats(model)), path)


def _in_floats(model: ModelProto) -> list[str]:
    """Return the names of nodes that stay in float32."""
    return [node.name for node in model.graph.node if FLOAT_NODES in node.name]


def _own_constants(model: ModelProto) -> None:
    """Give every reader of a shared constant its own: the exporter writes equal biases once, and a bias that two
    convolutions share has the integer scale of only one, which keeps the other one in floats."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Identity" and node.input[0] in constants:
            _copy(model, constants[node.input[0]], node.output[0])
            model.graph.node.remove(node)
    seen: set[str] = set()
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name in constants and name in seen:
                node.input[index] = f"{name}_{len(model.graph.initializer)}"
                _copy(model, constants[name], node.input[index])
            seen.add(name)


def _copy(model: ModelProto, constant: TensorProto, name: str) -> None:
    model.graph.initializer.append(constant)
    model.graph.initializer[-1].name = name


def _bare(model: ModelProto) -> None:
    """Take the conversions from and to floats off both ends; what the integers mean is kept as the file's metadata."""
    graph = model.graph
    input_, output = graph.input[0], graph.output[0]
    readers = [node for node in graph.node if input_.name in node.input]
    if len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
        _describe(model, input_, readers[0], "input_quantization")
        graph.node.remove(readers[0])
        _rename(graph.node, readers[0].output[0], input_.name)
    if len(graph.output) > 1:  # their scales differ, and a file's metadata holds one
        return
    writer = next(node for node in graph.node if output.name in node.output)
    if writer.op_type == "DequantizeLinear":
        _describe(model, output, writer, "output_quantization")
        graph.node.remove(writer)
        _rename(graph.node, writer.input[0], output.name)


def _describe(model: ModelProto, port: Any, node: NodeProto, key: str) -> None:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    scale, zero_point = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    port.type.tensor_type.elem_type = constants[node.input[2]].data_type
    model.metadata_props.add(key=key, value=f"{float(scale)!r} {int(zero_point)}")


def _rename(nodes: Sequence[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Drop the messages that the quantiser prints, and those that it sends through the root logger, which it also
    configures."""
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
