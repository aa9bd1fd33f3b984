"""The tensors that a model file really takes and returns, read from the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.errors import ExportError
from hwnas.export.format import Format, Tensor
from hwnas.io.quiet import suppress_stdio
from hwnas.ops import Shape
from hwnas.registry import imported, optional
from hwnas.runtimes.tflite import ordered_details
from hwnas.tasks.ends import specs_of


@dataclass(frozen=True)
class Ends:
    """Inputs and outputs of a file, JSON-ready."""

    inputs: tuple[dict[str, object], ...]
    """`name`, `shape`, `dtype` and `layout`, the order of the axes: of images `NCHW` or `NHWC`."""
    outputs: tuple[dict[str, object], ...]
    """`name`, `shape`, `dtype`."""


AXES: Mapping[int, str] = {1: "NC", 2: "NCL", 3: "NCHW"}
"""Names of the axes of a batch of inputs by their number, the batch's apart; others are numbered."""


def ends_of(path: Path, format: Format, batch: int, input_shape: Shape) -> Ends:
    """Return the ends of a file that was exported for inputs of a shape, such as images (C, H, W); none where the
    format does not read them.

    Raises:
        ExportError: it takes another shape than its exporter should have written.
    """
    if format.tensors is None:
        return Ends((), ())
    read: Callable[[Path], tuple[Tensor | Sequence[Tensor], Tensor | Sequence[Tensor]]]
    read = imported(format.tensors, what=f"reader of {format.title} files", where="export")
    inputs, outputs = (
        tuple(replace(tensor, shape=(tensor.shape[0] or batch, *tensor.shape[1:])) for tensor in _several(end))
        for end in read(path)
    )
    shapes = [spec.shape for spec in specs_of(input_shape)]
    wanted = [(batch, *shape[1:], shape[0]) if format.channels_last else (batch, *shape) for shape in shapes]
    layouts = [layout_of(format, len(shape)) for shape in shapes]
    if [tensor.shape for tensor in inputs] != wanted:
        raise ExportError(
            f"it takes inputs of shape {' and '.join(str(tensor.shape) for tensor in inputs)}",
            where=str(path),
            allowed=f"Its inputs are {' and '.join(f'{one}, {two}' for one, two in zip(layouts, wanted, strict=True))}",
            do="Look at the exporter of this format",
        )
    taken = ({**_as_dict(tensor), "layout": layout} for tensor, layout in zip(inputs, layouts, strict=True))
    return Ends(tuple(taken), tuple(map(_as_dict, outputs)))


def _several(end: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return (end,) if isinstance(end, Tensor) else end


def layout_of(format: Format, rank: int) -> str:
    """Return the order of the axes of a file's input, that of the batch included: of images `NCHW` or `NHWC`."""
    axes = AXES.get(rank, "NC" + "".join(str(axis) for axis in range(2, rank + 1)))
    return "N" + axes[2:] + "C" if format.channels_last else axes


def _as_dict(tensor: Tensor) -> dict[str, object]:
    return {**asdict(tensor), "shape": list(tensor.shape)}


TensorsOf = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""The inputs and the outputs of a file."""


def onnx_tensors(path: Path) -> TensorsOf:
    """Return the inputs and the outputs of an ONNX file; an axis of any size is 0 long."""
    import onnx

    def tensor(port: Any) -> Tensor:
        kind = port.type.tensor_type
        shape = tuple(axis.dim_value for axis in kind.shape.dim)
        return Tensor(port.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)

    graph = onnx.load(path).graph
    return tuple(map(tensor, graph.input)), tuple(map(tensor, graph.output))


def tflite_tensors(path: Path) -> TensorsOf:
    """Return the inputs and the outputs of a TFLite file, in the order of the network's own."""
    import numpy as np

    interpreter = optional("ai_edge_litert.interpreter", extra="convert", why="reading a TFLite file")
    with suppress_stdio():
        opened = interpreter.Interpreter(model_path=str(path))

    def tensor(port: Any) -> Tensor:
        return Tensor(str(port["name"]), tuple(int(size) for size in port["shape"]), np.dtype(port["dtype"]).name)

    inputs, outputs = ordered_details(opened)
    return tuple(map(tensor, inputs)), tuple(map(tensor, outputs))


def pt2_tensors(path: Path) -> TensorsOf:
    """Return the inputs and the outputs of a PT2 file."""
    import torch

    program = torch.export.load(path)  # it may run code, and was written here a moment ago
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}

    def tensor(name: object) -> Tensor:
        value = values[str(name)]
        return Tensor(str(name), tuple(value.shape), str(value.dtype).removeprefix("torch."))

    signature = program.graph_signature
    return tuple(map(tensor, signature.user_inputs)), tuple(map(tensor, signature.user_outputs))
