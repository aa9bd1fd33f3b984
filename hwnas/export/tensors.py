"""The tensors that a model file really takes and returns, read from the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hwnas.errors import ExportError
from hwnas.io.quiet import suppress_stdio
from hwnas.ops import Shape
from hwnas.registry import optional


@dataclass(frozen=True)
class Tensor:
    """One end of a model file. `dtype` is numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Ends:
    """Inputs and outputs of a file, JSON-ready."""

    inputs: tuple[dict[str, object], ...]
    """`name`, `shape`, `dtype` and `layout`, the order of the axes: of images `NCHW` or `NHWC`."""
    outputs: tuple[dict[str, object], ...]
    """`name`, `shape`, `dtype`."""


CHANNEL_LAST = frozenset({".tflite"})
"""Suffixes of files whose inputs have their channels last, as the exporters write them."""
AXES: Mapping[int, str] = {1: "NC", 2: "NCL", 3: "NCHW"}
"""Names of the axes of a batch of inputs by their number, the batch's apart; others are numbered."""


def ends_of(path: Path, batch: int, input_shape: Shape) -> Ends:
    """Return the ends of a file that was exported for inputs of a shape, such as images (C, H, W).

    Raises:
        ExportError: it takes another shape than its exporter should have written.
    """
    input_, output = _READERS[path.suffix](path)
    shape, layout = (batch, *input_shape), layout_of(path.suffix, len(input_shape))
    wanted = (batch, *input_shape[1:], input_shape[0]) if path.suffix in CHANNEL_LAST else shape
    if input_.shape != wanted:
        raise ExportError(
            f"it takes inputs of shape {input_.shape}",
            where=str(path),
            allowed=f"Its inputs are {layout}, {wanted}",
            do="Look at the exporter of this format",
        )
    return Ends(({**_as_dict(input_), "layout": layout},), (_as_dict(output),))


def layout_of(suffix: str, rank: int) -> str:
    """Return the order of the axes of a file's input, that of the batch included.

    >>> layout_of(".onnx", 3), layout_of(".tflite", 3), layout_of(".tflite", 2)
    ('NCHW', 'NHWC', 'NLC')
    """
    axes = AXES.get(rank, "NC" + "".join(str(axis) for axis in range(2, rank + 1)))
    return "N" + axes[2:] + "C" if suffix in CHANNEL_LAST else axes


def _as_dict(tensor: Tensor) -> dict[str, object]:
    return {**asdict(tensor), "shape": list(tensor.shape)}


def _onnx(path: Path) -> tuple[Tensor, Tensor]:
    import onnx

    graph = onnx.load(path).graph
    ends = []
    for port in (graph.input[0], graph.output[0]):
        kind = port.type.tensor_type
        shape = tuple(axis.dim_value for axis in kind.shape.dim)
        ends.append(Tensor(port.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name))
    return ends[0], ends[1]


def _tflite(path: Path) -> tuple[Tensor, Tensor]:
    import numpy as np

    interpreter = optional("ai_edge_litert.interpreter", extra="convert", why="reading a TFLite file")
    with suppress_stdio():
        opened = interpreter.Interpreter(model_path=str(path))
    ends = [
        Tensor(str(port["name"]), tuple(int(size) for size in port["shape"]), np.dtype(port["dtype"]).name)
        for port in (opened.get_input_details()[0], opened.get_output_details()[0])
    ]
    return ends[0], ends[1]


def _pt2(path: Path) -> tuple[Tensor, Tensor]:
    import torch

    program = torch.export.load(path)  # it may run code, and was written here a moment ago
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    names = program.graph_signature.user_inputs[0], program.graph_signature.user_outputs[0]
    ends = [
        Tensor(str(name), tuple(values[str(name)].shape), str(values[str(name)].dtype).removeprefix("torch."))
        for name in names
    ]
    return ends[0], ends[1]


_READERS: Mapping[str, Callable[[Path], tuple[Tensor, Tensor]]] = {".onnx": _onnx, ".tflite": _tflite, ".pt2": _pt2}
