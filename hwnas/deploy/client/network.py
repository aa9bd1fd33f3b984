"""Model files of the edge in their runtime, and what crosses the link: inputs and boundaries as a plan has them."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.collaborate.preprocess import preprocessed
from hwnas.collaborate.wire import PLAN_FILE, TensorFormat, plan_digest

IMAGE_MODES = {1: "L", 3: "RGB"}


class ClientError(Exception):
    """An error with four parts: what was met, where, what is allowed, what to do."""

    def __init__(self, problem: str, where: str, allowed: str, do: str) -> None:
        super().__init__(problem)
        self.problem, self.where, self.allowed, self.do = problem, where, allowed, do

    def __str__(self) -> str:
        return f"{self.problem}\n  where:   {self.where}\n  allowed: {self.allowed}\n  next:    {self.do}"


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan of a folder, which is as it was exported.

    Raises:
        ClientError: it is missing, or was changed.
    """
    path = folder / PLAN_FILE
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        digest = document["plan"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _changed(path, "the plan is missing, cannot be read or is damaged") from error
    if plan_digest(document) != digest:
        raise _changed(path, "the plan's digest does not fit: it was changed after it was exported")
    return document


def _changed(path: Path, problem: str) -> ClientError:
    return ClientError(
        problem, str(path), "A deployment is used as it was exported", "Copy the folder again, or export it"
    )


@dataclass(frozen=True)
class EdgeNetwork:
    """A model file that is loaded.

    Args:
        call: from one sample as the network takes it, channels first, to its output, channels first.
        shape: of the input.
        steps: between a raw input and the network.
    """

    call: Callable[[Any], Any]
    shape: tuple[int, ...]
    steps: dict[str, Any]

    def run(self, sample: Any) -> Any:
        """Return the output for one raw input."""
        return self.call(preprocessed(sample, self.steps, self.shape))


@dataclass(frozen=True)
class LocalResult:
    """Result of the edge's part for one input.

    Args:
        outputs: of the edge's network, or its exit; None where it has none.
        sent: tensor that the cloud is asked with.
        confidence: by the plan's rule; None where the plan has none.
        is_answer: True if nothing has to be sent.
    """

    outputs: Any
    sent: Any
    confidence: float | None
    is_answer: bool


def open_network(folder: Path, entry: dict[str, Any]) -> EdgeNetwork:
    """Return the network of a plan's entry, called once.

    Raises:
        ClientError: the file is another than the plan's, or its runtime is not installed.
    """
    path = folder / entry["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _changed(path, f"the model file cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _changed(path, "the model file is another than the plan's: its SHA-256 differs")
    opened = _tflite if entry["runtime"] == "tflite" else _onnx
    try:
        call = opened(path, int(entry["threads"]))
    except ImportError as error:
        package = "ai-edge-litert" if entry["runtime"] == "tflite" else "onnxruntime"
        raise ClientError(
            f"the runtime `{entry['runtime']}` cannot be imported",
            str(path),
            "One runtime and numpy are needed",
            f"Run: pip install {package}",
        ) from error
    shape = tuple(entry["input"]["shape"])
    call(np.zeros(shape, np.float32))  # the first call is slower than all others
    return EdgeNetwork(call, shape, dict(entry["preprocessing"]))


def _onnx(path: Path, threads: int) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda sample: session.run(None, {name: sample[None]})[0][0]


def _tflite(path: Path, threads: int) -> Callable[[Any], Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(sample: Any) -> Any:
        interpreter.set_tensor(into, np.ascontiguousarray(np.moveaxis(sample[None], 1, -1)))
        interpreter.invoke()
        return np.moveaxis(interpreter.get_tensor(out), -1, 1)[0]

    return call


@dataclass(frozen=True)
class Encoder:
    """Way of a tensor onto the link.

    Args:
        form: how it travels.
        entry: the plan's `request`.
        plan: the plan's digest.
    """

    form: TensorFormat
    entry: dict[str, Any]
    plan: str

    @staticmethod
    def of(document: dict[str, Any]) -> Encoder:
        """Return that of a plan."""
        entry = document["request"]
        form = TensorFormat(entry["name"], tuple(entry["shape"]), entry["dtype"], entry["compression"])
        return Encoder(form, entry, document["plan"])

    def body(self, values: Any) -> tuple[bytes, int]:
        """Return the body of a request, and the length of its JSON header.

        Raises:
            ClientError: the package that compresses it is not installed.
        """
        try:
            content = self._content(values)
        except ImportError as error:
            raise ClientError(
                f"a request cannot be compressed ({error})",
                f"{PLAN_FILE}: request.compression",
                f"{self.form.compression} needs a package beside numpy and the runtime",
                "Install the packages of this folder's README.md",
            ) from error
        length = len(self.form.header(self.form.payload_bytes(len(content)), self.plan))
        return self.form.body(content, self.plan), length

    def _content(self, values: Any) -> bytes:
        if self.form.compression in ("png", "jpeg"):
            return _image_file(values, self.form.compression, self.entry["quality"])
        if self.entry["scale"]:
            values = np.clip(np.round(values / self.entry["scale"]) + self.entry["zero_point"], 0, 255)
        content: bytes = values.astype(self.form.dtype).tobytes()
        if self.form.compression == "zstd":
            zstandard = importlib.import_module("zstandard")
            content = zstandard.ZstdCompressor(level=3).compress(content)
        return content


def _image_file(sample: Any, kind: str, quality: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(sample[0] if len(sample) == 1 else np.moveaxis(sample, 0, -1))
    image.save(buffer, format=kind, **({"quality": quality} if quality else {}))
    return buffer.getvalue()


def read_input(path: Path, raw: dict[str, Any]) -> Any:
    """Return the raw input in a file: an array of numpy's, or an image.

    Raises:
        ClientError: it cannot be read.
    """
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        from PIL import Image

        pixels = np.asarray(Image.open(path).convert(IMAGE_MODES[raw["shape"][0]]))
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise ClientError(
            f"the input cannot be read ({error})",
            str(path),
            "Inputs are arrays in .npy files, or images (by Pillow)",
            "Give another file",
        ) from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def checked_input(sample: Any, raw: dict[str, Any]) -> Any:
    """Return an input, which has the shape and the dtype of those that the plan was made with.

    Raises:
        ClientError: it has others.
    """
    values = np.asarray(sample)
    if list(values.shape) == raw["shape"] and (str(values.dtype) == raw["dtype"] or raw["dtype"] == "float32"):
        return np.ascontiguousarray(values, raw["dtype"])
    raise ClientError(
        f"the input has shape {tuple(values.shape)} in {values.dtype}",
        "input",
        f"Inputs have shape {tuple(raw['shape'])} in {raw['dtype']}, channels first",
        "Prepare it as the training data were: cropped, resized, in the same units",
    )
