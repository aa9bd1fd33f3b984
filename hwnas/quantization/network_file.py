"""A model file of somebody else's: opened, refused where it cannot be quantized, its shapes fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import ConfigError, HwnasError, reason
from hwnas.io.quiet import suppress_stdio
from hwnas.registry import optional
from hwnas.words import counted

RUNTIME_OF_SUFFIX = {".onnx": "onnxruntime", ".tflite": "tflite"}
"""Suffix of a file -> the runtime that runs it."""
CONTROL_FLOW = frozenset(("LSTM", "GRU", "RNN", "Loop", "If", "Scan", "WHILE", "IF", "CALL_ONCE"))
"""Operators whose inner graphs neither quantizer enters, and recurrent ones, which keep their states in floats."""
INTEGER_OPERATORS = frozenset(
    ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
)
OLDEST_OPSET, WRITTEN_OPSET = 13, 17
"""One scale a channel needs opset 13; older files are converted."""
OLDEST_IR = 4


@dataclass(frozen=True)
class NetworkFile:
    """A float network of one input, as a file of fixed shapes."""

    path: Path
    """As named by the user."""
    float_path: Path
    """The file that runs: the same, or a copy with fixed shapes."""
    shape: tuple[int, ...]
    """Of the input, its batch first, as the file takes it: TFLite has channels last."""

    @property
    def runtime(self) -> str:
        """Name of the runtime that runs it."""
        return RUNTIME_OF_SUFFIX[self.path.suffix.lower()]

    @property
    def channels_last(self) -> bool:
        """True if hwnas's runtime moves the channels of its inputs and outputs."""
        return self.runtime == "tflite"


def open_network_file(path: Path, folder: Path, shape: Sequence[int] | None = None) -> NetworkFile:
    """Open a model file; what has to be changed so that its shapes are fixed is written into a folder.

    Args:
        path: ends in .onnx or .tflite.
        folder: for a copy.
        shape: of the input, where an ONNX file leaves axes open; an open batch is 1 if this is left out.

    Raises:
        ConfigError: it is no such file, or cannot be quantized.
    """
    check_suffix(path)
    return _open_onnx(path, folder, shape) if path.suffix.lower() == ".onnx" else _open_tflite(path, shape)


def check_suffix(path: Path) -> None:
    """Refuse what is no file, or ends in another suffix."""
    if path.suffix.lower() not in RUNTIME_OF_SUFFIX:
        pickled = path.suffix.lower() in (".pt", ".pth", ".pkl", ".ckpt", ".bin")
        raise refusal(
            path,
            f"`{path.name}` is no model file" + (", by its name a pickle of PyTorch's" if pickled else ""),
            "Export it to ONNX first (torch.onnx.export), then name that file" if pickled else "Name such a file",
        )
    if not path.is_file():
        raise refusal(path, f"`{path}` {'is a folder' if path.is_dir() else 'does not exist'}", "Name such a file")


def refusal(
    path: Path, problem: str, do: str, *, allowed: str = "It is a float network in .onnx or .tflite"
) -> ConfigError:
    """Return the error of a file that cannot be quantized."""
    return ConfigError(problem, where=str(path), allowed=allowed, do=do)


def _refuse_operators(path: Path, operators: Sequence[str]) -> None:
    inner = sorted({name for name in operators if name in CONTROL_FLOW or name.endswith(("_LSTM", "_RNN", "_GRU"))})
    if inner:
        raise refusal(
            path,
            f"it has recurrent operators or control flow: {', '.join(inner)}",
            "Leave it in fp32, or export the part without them as a file of its own",
            allowed="Networks without LSTM, GRU, RNN, Loop, If and Scan are quantized",
        )


def _refuse_quantized(path: Path, why: str) -> None:
    raise refusal(
        path, f"it is quantized already ({why})", "Name the float file that it was made from", allowed="Floats go in"
    )


def _refuse_ends(path: Path, names: Sequence[str], dtypes: Sequence[str]) -> None:
    if len(names) != 1:
        raise refusal(
            path,
            f"it has {counted(len(names), 'input')}: {', '.join(names) or 'none'}",
            "Export it with a single input, or quantize it with the tool of its authors",
            allowed="A network of one input is quantized",
        )
    if dtypes[0] != "float32":
        raise refusal(
            path,
            f"its input `{names[0]}` is {dtypes[0]}",
            "Export it with float32 inputs",
            allowed="The input is float32",
        )


def _open_onnx(path: Path, folder: Path, shape: Sequence[int] | None) -> NetworkFile:
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # of protobuf, of the checker of external data, of the system
        raise refusal(path, f"it cannot be read as ONNX ({reason(error)})", "Export it again") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise refusal(path, "it holds no network", "Export it again")
    operators = [node.op_type for node in graph.node]
    _refuse_operators(path, operators)
    integer = sorted({name for name in operators if name in INTEGER_OPERATORS or name.startswith("QLinear")})
    if integer:
        _refuse_quantized(path, ", ".join(integer))
    if any(tensor.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16) for tensor in graph.initializer):
        raise refusal(path, "its weights are 16-bit floats", "Export it with float32 weights")
    constants = {tensor.name for tensor in graph.initializer}
    ports = [port for port in graph.input if port.name not in constants]
    types = [onnx.TensorProto.DataType.Name(port.type.tensor_type.elem_type).lower() for port in ports]
    _refuse_ends(path, [port.name for port in ports], ["float32" if name == "float" else name for name in types])
    sizes = [dim.dim_value or None for dim in ports[0].type.tensor_type.shape.dim]
    fixed = _fixed_shape(path, sizes, shape)
    float_path = folder / "fp32.onnx"
    _fix(model, ports[0].name, fixed)
    onnx.save(model, float_path)
    return NetworkFile(path, float_path, fixed)


def _fixed_shape(path: Path, sizes: Sequence[int | None], shape: Sequence[int] | None) -> tuple[int, ...]:
    spelled = ",".join("?" if size is None or size < 0 else str(size) for size in sizes)
    known = [None if size is None or size < 0 else size for size in sizes]
    if not known:
        raise refusal(path, "the shape of its input is not in the file", "Export it with the shape of its input")
    if shape is None:
        if None in known[1:]:
            raise refusal(
                path,
                f"its input has the open shape {spelled}",
                "Fix it with --shape, such as --shape " + ",".join(str(size or 1) for size in known),
                allowed="All axes but the batch have a size",
            )
        return tuple(size or 1 for size in known)
    fits = len(shape) == len(known) and all(
        wanted > 0 and size in (None, wanted) for wanted, size in zip(shape, known, strict=False)
    )
    if not fits:
        raise ConfigError(
            f"--shape {','.join(map(str, shape))} does not fit the input, {spelled}",
            where=str(path),
            allowed="It has a size for each axis, and the file's own where that has one",
            do="Correct --shape, or leave it out",
        )
    return tuple(shape)


def _fix(model: Any, name: str, shape: tuple[int, ...]) -> None:
    """Write the sizes into the input; open sizes elsewhere follow from them, and are left to the runtime.

    Constants that are listed among the inputs, as in files before IR version 4, are taken off: they could be replaced
    from outside, so that nothing that depends on them would be folded.
    """
    graph = model.graph
    del graph.value_info[:]
    (port,) = (port for port in list(graph.input) if port.name == name)
    del graph.input[:]
    graph.input.append(port)
    model.ir_version = max(model.ir_version, OLDEST_IR)
    (port,) = graph.input
    for dim, size in zip(port.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    for output in graph.output:
        for dim in output.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value") or dim.dim_value < 1:
                dim.Clear()


def prepare_onnx(file: NetworkFile, target: Path) -> None:
    """Write the network as it quantizes well: constants folded, normalisation in convolutions, a recent opset.

    Raises:
        ConfigError: ONNX Runtime does not take the file.
    """
    import onnx
    import onnxruntime
    from onnx import version_converter

    model = onnx.load(file.float_path)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), WRITTEN_OPSET)
    if opset < OLDEST_OPSET:
        try:
            with suppress_stdio():
                model = version_converter.convert_version(model, WRITTEN_OPSET)
        except RuntimeError as error:
            raise refusal(
                file.path,
                f"it is of opset {opset} and cannot be converted to {WRITTEN_OPSET} ({reason(error)})",
                f"Export it with opset {OLDEST_OPSET} or later",
            ) from error
    newest = target.with_suffix(".converted.onnx")
    onnx.save(model, newest)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(str(newest), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no narrower base
        raise refusal(file.path, f"ONNX Runtime does not take it ({reason(error)})", "Export it again") from error


def _open_tflite(path: Path, shape: Sequence[int] | None) -> NetworkFile:
    if shape is not None:
        raise ConfigError(
            "--shape is of no use to a .tflite file",
            where=str(path),
            allowed="The shapes in a TFLite file are fixed; --shape fixes open axes of ONNX files",
            do="Leave --shape out",
        )
    if path.read_bytes()[4:8] != b"TFL3":
        raise refusal(path, "it cannot be read as TFLite", "Convert it again")
    package = optional("ai_edge_litert.interpreter", extra="convert", why="quantizing a TFLite file")
    try:
        with suppress_stdio():
            interpreter = package.Interpreter(
                model_path=str(path),
                experimental_op_resolver_type=package.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise refusal(path, f"LiteRT does not take it ({reason(error)})", "Convert it again") from error
    tensors = interpreter.get_tensor_details()
    if any(np.dtype(one["dtype"]).kind in "iu" and len(one["quantization_parameters"]["scales"]) for one in tensors):
        _refuse_quantized(path, "tensors with scales")
    operators = [str(one.get("op_name")) for one in interpreter._get_ops_details()]
    _refuse_operators(path, operators)
    if "DENSIFY" in operators:
        raise refusal(path, "its weights are sparse (DENSIFY)", "Convert it with dense weights")
    inputs = interpreter.get_input_details()
    _refuse_ends(path, [one["name"] for one in inputs], [np.dtype(one["dtype"]).name for one in inputs])
    open_axes = [int(size) for size in inputs[0].get("shape_signature", inputs[0]["shape"])]
    if any(size < 0 for size in open_axes[1:]):
        raise refusal(
            path,
            f"its input has the open shape {','.join('?' if size < 0 else str(size) for size in open_axes)}",
            "Convert it with fixed sizes",
            allowed="All axes but the batch have a size",
        )
    return NetworkFile(path, path, tuple(int(size) for size in inputs[0]["shape"]))


def first_line(error: Exception) -> str:
    """Return an error's problem in one line."""
    return error.met if isinstance(error, HwnasError) else reason(error)
