"""Operators of a TFLite file: what it holds is what the runtime executes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.export.mixed.kernels import Kernel, Mixed, operator_named
from hwnas.registry import optional

WEIGHTED_OPERATIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D"})
MOVING_OPERATIONS = frozenset(
    {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MAX_POOL_2D", "SLICE", "STRIDED_SLICE",
     "SPLIT", "GATHER", "GATHER_ND", "PACK", "UNPACK", "SQUEEZE", "EXPAND_DIMS", "BROADCAST_TO", "SHAPE", "CAST",
     "MIRROR_PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"}
)  # fmt: skip
"""Operations that convert, move or choose numbers: they have no precision of their own."""
INTEGERS = frozenset({"INT8", "UINT8", "INT16"})


@dataclass(frozen=True)
class Operation:
    """One operation of a file."""

    scope: str
    """Names of the tensors that it gives: a quantiser's recipe finds it by them."""
    kind: str
    operator: str
    """Name of the network's operator that it is part of; empty if it is part of none."""
    integer: bool


def tflite_operations(path: Path, names: Collection[str]) -> list[Operation]:
    """Return the operations of a file, in order.

    The converter names the last tensor of a network, and some constants' operations, without their module: such an
    operation is part of the operator whose numbers it takes.

    Args:
        path: of the file.
        names: of the network's operators.
    """
    schema = optional("ai_edge_litert.schema_py_generated", extra="convert", why="reading a TFLite file")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    kinds, types = _names(schema.BuiltinOperator), _names(schema.TensorType)
    graph, made, found = model.subgraphs[0], dict[int, str](), list[Operation]()
    for one in graph.operators:
        code = model.operatorCodes[one.opcodeIndex]
        outputs = [graph.tensors[index] for index in one.outputs if index >= 0]
        scope = ";".join(tensor.name.decode() for tensor in outputs)
        operator = operator_named(scope.partition(";")[0].split("/"), names, ending=True)
        operator = operator or next((made[index] for index in one.inputs if made.get(index)), "")
        made.update(dict.fromkeys(map(int, one.outputs), operator))
        integer = bool(outputs) and types[outputs[0].type] in INTEGERS
        found.append(Operation(scope, kinds[max(code.builtinCode, code.deprecatedBuiltinCode)], operator, integer))
    return found


def fp32_scopes(path: Path, mixed: Mixed) -> list[str]:
    """Return the scopes of the operations of an exported network that are in no operator that is to be int8."""
    operations = tflite_operations(path, mixed.operators)
    return [one.scope for one in operations if one.operator not in mixed.int8]


def tflite_kernels(path: Path, names: Collection[str]) -> list[Kernel]:
    """Return the kernels that compute of a file.

    Args:
        path: of the file.
        names: of the network's operators.
    """
    return [
        Kernel(one.operator, one.kind, one.integer, one.kind in WEIGHTED_OPERATIONS)
        for one in tflite_operations(path, names)
        if one.kind not in MOVING_OPERATIONS
    ]


def _names(enumeration: Any) -> Mapping[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
