"""Operators of an ONNX file: its nodes before, and its kernels after ONNX Runtime optimised it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx

from hwnas.export.mixed.kernels import Kernel, Mixed, operator_named

INTEGER = ("QLinear", "QGemm", "QAttention", "ConvInteger", "MatMulInteger", "DynamicQuantize")
"""Beginnings of the names of integer kernels."""
WEIGHTED_NODES = frozenset({"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"})
MOVING_NODES = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity",
     "MaxPool", "Slice", "Split", "Gather", "Expand", "Shape", "Constant", "ConstantOfShape", "Cast", "Pad",
     "ReorderInput", "ReorderOutput", "DepthToSpace", "SpaceToDepth"}
)  # fmt: skip
"""Kernels that convert, move or choose numbers: they have no precision of their own."""
TOKEN = "_token_"
"""Suffix that ONNX Runtime gives the names of nodes that it fused."""


def fp32_nodes(path: Path, mixed: Mixed) -> list[str]:
    """Return the names of the nodes of an exported network that are in no operator that is to be int8."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return [node.name for node in nodes if _operator(node.name, mixed.operators) not in mixed.int8]


def onnx_kernels(path: Path, names: Collection[str]) -> list[Kernel]:
    """Return the kernels that ONNX Runtime executes for a file on a processor.

    Args:
        path: of the file.
        names: of the network's operators.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.log_severity_level = 4
        # One level below the highest, which only renames and reorders convolutions in floats.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    nodes = [(node, node.op_type) for node in graph.node if node.op_type not in MOVING_NODES]
    return [
        Kernel(_operator(node.name, names), kind, kind.startswith(INTEGER), kind in WEIGHTED_NODES)
        for node, kind in nodes
    ]


def _operator(node: str, names: Collection[str]) -> str:
    parts = [part.rpartition(".")[2] for part in node.partition(TOKEN)[0].split("/")]
    return operator_named(parts, names)
