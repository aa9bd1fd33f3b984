"""A TFLite file as the quantizer takes it: weights of 32-bit floats, one signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwnas.registry import optional

SIGNATURE_KEY = "serving_default"


def prepare_tflite(source: Path, target: Path) -> None:
    """Write the file with its 16-bit weights as 32-bit ones, where converters put a conversion behind each, and with a
    signature, by which the quantizer calls it.

    Args:
        source: the float file.
        target: of the copy.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
    """
    schema = optional("ai_edge_litert.schema_py_generated", extra="convert", why="quantizing a TFLite file")
    tools = optional("ai_edge_litert.tools.flatbuffer_utils", extra="convert", why="quantizing a TFLite file")
    model = tools.read_model(str(source))
    graph = model.subgraphs[0]
    for code in model.operatorCodes:  # files of before 2021 hold them in the older field alone
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    dequantize = schema.BuiltinOperator.DEQUANTIZE
    kept = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        half = graph.tensors[operator.inputs[0]] if len(operator.inputs) else None
        weights = None if half is None or half.type != schema.TensorType.FLOAT16 else model.buffers[half.buffer].data
        if code.builtinCode == dequantize and weights is not None:
            _widen(schema, model, graph.tensors[operator.outputs[0]], weights)
        else:
            kept.append(operator)
    graph.operators = kept
    if not model.signatureDefs:
        model.signatureDefs = [_signature(schema, graph)]
    tools.write_model(model, str(target))


def _widen(schema: Any, model: Any, tensor: Any, half: Any) -> None:
    buffer = schema.BufferT()
    floats = np.frombuffer(bytes(bytearray(half)), np.float16).astype(np.float32)
    buffer.data = np.frombuffer(floats.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def _signature(schema: Any, graph: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE_KEY, 0
    signature.inputs, signature.outputs = (
        [_named(schema, f"{word}_{number}", index) for number, index in enumerate(places)]
        for word, places in (("args", graph.inputs), ("output", graph.outputs))
    )
    return signature


def _named(schema: Any, name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, int(index)
    return entry
