"""A model file of a bundle in its runtime: raw samples to outputs and features. Python 3.9 syntax."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from hwnas.adapt.board.logistic import Head
from hwnas.collaborate.preprocess import preprocessed

MANIFEST = "manifest.json"
PACKAGES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}


class AdaptError(Exception):
    """An error with four parts: the problem, where it is, what is allowed, what to do."""

    def __init__(self, problem: str, where: str, allowed: str, do: str) -> None:
        super().__init__(problem)
        self.problem, self.where, self.allowed, self.do = problem, where, allowed, do

    def __str__(self) -> str:
        return "%s\n  where:   %s\n  allowed: %s\n  next:    %s" % (self.problem, self.where, self.allowed, self.do)


@dataclass(frozen=True)
class Model:
    """A model file that is loaded.

    Args:
        path: of the file.
        call: from (N, ...) as the network takes them, channels first, to its outputs, and features or None.
        shape: of one input, channels first.
        steps: between a raw input and the network.
        classes: names in the order of the logits; empty where there are none.
        statistics: distributions of validation samples.
        head: file of the last layer; None without features.
    """

    path: Path
    call: Callable[[Any], tuple[Any, Any]]
    shape: tuple[int, ...]
    steps: Mapping[str, Any]
    classes: tuple[str, ...]
    statistics: Mapping[str, Any]
    head: Optional[Path]

    def prepared(self, inputs: Any) -> Any:
        """Return raw samples as the network takes them.

        Raises:
            AdaptError: they have another number of channels, or of axes.
        """
        if inputs.ndim == len(self.shape) and self.shape[0] == 1:
            inputs = inputs[:, None]
        if inputs.ndim != 1 + len(self.shape) or inputs.shape[1] != self.shape[0]:
            raise AdaptError(
                "samples have shape %s" % (tuple(inputs.shape[1:]),),
                "inputs",
                "The network takes %d channels first, %s" % (self.shape[0], self.shape),
                "Prepare them as the training data were; other sizes are resized, other channels are not",
            )
        return np.stack([preprocessed(sample, self.steps, self.shape) for sample in inputs])

    def run(self, inputs: Any) -> tuple[Any, Any]:
        """Return outputs and features of raw samples."""
        return self.call(self.prepared(inputs))

    def old_head(self) -> Head:
        """Return the last layer as it was exported.

        Raises:
            AdaptError: the file gives no features.
        """
        if self.head is None:
            raise AdaptError(
                "the model file gives no features",
                str(self.path),
                "A bundle with features has files with a second output, on which a head is fitted",
                "Export it so: hwnas export RUN --set export.features=true",
            )
        with np.load(self.head, allow_pickle=False) as archive:
            return Head(archive["weight"], archive["bias"], tuple(map(str, archive["classes"].tolist())))


def read_document(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder.

    Raises:
        AdaptError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        document["models"][0]["files"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AdaptError(
            "the manifest is missing, damaged or lists no network",
            str(path),
            "A bundle is used as it was exported",
            "Copy the folder again",
        ) from error
    return document


def open_model(folder: Path, document: Mapping[str, Any], name: Optional[str] = None) -> Model:
    """Return a model file of a bundle, in the runtime that is installed.

    Args:
        folder: of the bundle.
        document: its manifest.
        name: of the file; the first one that a runtime here can run if left out.

    Raises:
        AdaptError: there is no such file, it was changed, or no runtime is installed.
    """
    listed = [(model, file) for model in document["models"] for file in model["files"] if file["format"] in PACKAGES]
    asked = [pair for pair in listed if name in (None, pair[1]["name"])]
    if not asked:
        names = ", ".join(file["name"] for _, file in listed) or "none"
        problem = "there is no model file `%s`" % name if name else "the bundle has no file that can be run here"
        raise AdaptError(problem, str(folder / MANIFEST), "Files in ONNX and TFLite: " + names, "Name one of these")
    for model, file in asked:
        path = folder / file["name"]
        _check(path, file)
        opened = _opened(path, file, "features" in model)
        if opened is not None:
            head = folder / model["features"]["head"] if "features" in model else None
            return Model(
                path,
                opened,
                _channels_first(file),
                model["preprocessing"],
                tuple(model.get("classes", ())),
                model.get("statistics", {}),
                head,
            )
    packages = " or ".join(sorted({PACKAGES[file["format"]] for _, file in asked}))
    raise AdaptError(
        "no runtime is installed", str(folder), "numpy and one runtime are needed", "Run: pip install " + packages
    )


def _check(path: Path, file: Mapping[str, Any]) -> None:
    try:
        same = hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
    except OSError:
        same = False
    if not same:
        raise AdaptError(
            "the model file is gone, or another than the manifest lists",
            str(path),
            "A bundle is used as it was exported",
            "Copy the folder again",
        )


def _channels_first(file: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(file["inputs"][0]["shape"][1:])
    return (shape[-1], *shape[:-1]) if file["format"] == "tflite" else shape


def _opened(path: Path, file: Mapping[str, Any], features: bool) -> Optional[Callable[[Any], tuple[Any, Any]]]:
    """Return a function of any number of samples; None if the runtime is not installed."""
    try:
        call = (_onnx if file["format"] == "onnx" else _tflite)(path)
    except ImportError:
        return None
    batch = int(file["batch"])

    def run(inputs: Any) -> tuple[Any, Any]:
        parts = []
        for begin in range(0, len(inputs), batch):
            some = inputs[begin : begin + batch]
            padded = np.concatenate([some, np.zeros((batch - len(some), *some.shape[1:]), some.dtype)])
            parts.append([output[: len(some)] for output in call(padded)])
        outputs = [np.concatenate(part) for part in zip(*parts)]
        return outputs[0], outputs[1] if features else None

    return run


def _onnx(path: Path) -> Callable[[Any], list[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda inputs: list(session.run(None, {name: inputs}))


def _tflite(path: Path) -> Callable[[Any], list[Any]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    into = interpreter.get_input_details()[0]["index"]
    details = interpreter.get_output_details()
    if len(details) > 1:  # in the order of the numbers that the converter gave them
        (signature,) = interpreter._get_full_signature_list().values()
        order = sorted(signature["outputs"].items(), key=lambda one: int(one[0].rpartition("_")[2]))
        details = [next(one for one in details if one["index"] == index) for _, index in order]

    def call(inputs: Any) -> list[Any]:
        interpreter.set_tensor(into, np.ascontiguousarray(np.moveaxis(inputs, 1, -1)))
        interpreter.invoke()
        return [np.moveaxis(interpreter.get_tensor(one["index"]), -1, 1) for one in details]

    return call
