"""The tensors that a model file really takes and returns, read from the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hwnas.errors import ExportError
from hwnas.export.format import Format, Tensor
from hwnas.io.quiet import suppress_stdio
from hwnas.ops import Shape
from hwnas.registry import imported, optional


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
    read: Callable[[Path], tuple[Tensor, Tensor]]
    read = imported(format.tensors, what=f"reader of {format.title} files", where="export")
    input_, output = read(path)
    shape, layout = (batch, *input_shape), layout_of(format, len(input_shape))
    wanted = (batch, *input_shape[1:], input_shape[0]) if format.channels_last else shape
    if input_.shape != wanted:
        raise ExportError(
            f"it takes inputs of shape {input_.shape}",
            where=str(path),
            allowed=f"Its inputs are {layout}, {wanted}",
            do="Look at the exporter of this format",
        )
    return Ends(({**_as_dict(input_), "layout": layout},), (_as_dict(output),))


def layout_of(format: Format, rank: int) -> str:
    """Return the order of the axes of a file's input, that of the batch included: of images `NCHW` or `NHWC`."""
    axes = AXES.get(rank, "NC" + "".join(str(axis) for axis in range(2, rank + 1)))
    return "N" + axes[2:] + "C" if format.channels_last else axes


def _as_dict(tensor: Tensor) -> dict[str, object]:
    return {**asdict(tensor), "shape": list(tensor.shape)}


def onnx_tensors(path: Path) -> tuple[Tensor, Tensor]:
    """Return the input and the output of an ONNX file."""
    import onnx

    graph = onnx.load(path).graph
    ends = []
    for port in (graph.input[0], graph.output[0]):
        kind = port.type.tensor_type
        shape = tuple(axis.dim_value for axis in kind.shape.dim)
        ends.append(Tensor(port.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name))
    return ends[0], ends[1]


def tflite_tensors(path: Path) -> tuple[Tensor, Tensor]:
    """Return the input and the output of a TFLite file."""
    import numpy as np

    interpreter = optional("ai_edge_litert.interpreter", extra="convert", why="reading a TFLite file")
    with suppress_stdio():
        opened = interpreter.Interpreter(model_path=str(path))
    ends = [
        Tensor(str(port["name"]), tuple(int(size) for size in port["shape"]), np.dtype(port["dtype"]).name)
        for port in (opened.get_input_details()[0], opened.get_output_details()[0])
    ]
    return ends[0], ends[1]


def pt2_tensors(path: Path) -> tuple[Tensor, Tensor]:
    """Return the input and the output of a PT2 file."""
    import torch

    program = torch.export.load(path)  # it may run code, and was written here a moment ago
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    names = program.graph_signature.user_inputs[0], program.graph_signature.user_outputs[0]
    ends = [
        Tensor(str(name), tuple(values[str(name)].shape), str(values[str(name)].dtype).removeprefix("torch."))
        for name in names
    ]
    return ends[0], ends[1]
