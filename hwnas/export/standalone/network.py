"""Model files of a bundle in their runtimes, with the steps before them. Python 3.9 syntax."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.metrics import anomaly_scores, metric_of, softmax
from hwnas.export.standalone.steps import prepared

Array = NDArray[Any]

AT_ONCE = 256
"""Samples that are prepared at once."""
CLASSES_SHOWN = 5
RUNTIME_MODULES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}
"""Packages that run files of a format; the first one that is installed is used."""


class PredictError(Exception):
    """An error with four parts: what was met, where, what is allowed, what to do."""

    def __init__(self, fault: str, where: str, allowed: str, do: str) -> None:
        super().__init__(fault)
        self.met, self.where, self.allowed, self.do = fault, where, allowed, do

    def __str__(self) -> str:
        return f"{self.met}\n  where:   {self.where}\n  allowed: {self.allowed}\n  next:    {self.do}"


class FailedCall(PredictError):
    """A runtime loads a file and cannot compute with it."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, which lists networks with files.

    Raises:
        PredictError: it is missing or damaged.
    """
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not [file["name"] for model in manifest["models"] for file in model["files"]]:
            raise ValueError("it lists no file")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PredictError(
            "the manifest is missing or damaged",
            str(path),
            "This program stands beside the manifest and the model files of a bundle",
            "Copy the whole folder again",
        ) from error
    return manifest


def runnable(manifest: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield networks and files, of formats that a runtime here may run."""
    for model in manifest["models"]:
        yield from ((model, file) for file in model["files"] if file["format"] in RUNTIME_MODULES)


def is_available(file: Mapping[str, Any]) -> bool:
    """Return whether a runtime for a file is installed."""
    return _runtime(file["format"]) is not None


def runtime_version(file: Mapping[str, Any]) -> str:
    """Return package and version of the runtime that runs a file here; empty if there is none."""
    module = _runtime(file["format"])
    if module is None:
        return ""
    package = str(module.__name__).partition(".")[0].replace("_", "-")
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _runtime(file_format: str) -> Any:
    for name in RUNTIME_MODULES[file_format]:
        try:
            return __import__(name if file_format == "onnx" else f"{name}.interpreter", fromlist=["interpreter"])
        except ImportError:
            continue
    return None


def open_file(path: Path, file: Mapping[str, Any]) -> Callable[[Sequence[Array]], list[Array]]:
    """Return a function from a whole batch of each input, channels second, to the outputs, channels second.

    Args:
        path: of the file.
        file: its entry in the manifest.

    Raises:
        PredictError: no runtime is installed, or it cannot load the file.
    """
    package = _runtime(file["format"])
    if package is None:
        name = RUNTIME_MODULES[file["format"]][0].replace("_", "-")
        raise PredictError(
            f"no runtime for {path.suffix} files can be imported",
            str(path),
            "One runtime and numpy are needed",
            f"Run: pip install {name}, or name another file by --model",
        )
    as_exported = "The runtime is as new as requirements-*.txt say, and the file as it was exported"
    do = "Copy the file again, or install the runtime of requirements-*.txt"
    try:
        call = (_onnx if file["format"] == "onnx" else _tflite)(package, path, file)
    except Exception as error:  # runtimes raise errors of their own
        raise PredictError(f"the file cannot be loaded ({_first(error)})", str(path), as_exported, do) from error

    def checked(batch: Sequence[Array]) -> list[Array]:
        try:
            return call(batch)
        except Exception as error:
            raise FailedCall(f"the runtime fails ({_first(error)})", str(path), as_exported, do) from error

    return checked


def _first(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def input_shape(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of one input of a file, channels first, from its entry in a manifest."""
    _, *sizes = tensor["shape"]
    return (sizes[-1], *sizes[:-1]) if tensor.get("layout", "").endswith("C") else tuple(sizes)


def _onnx(package: Any, path: Path, file: Mapping[str, Any]) -> Callable[[Sequence[Array]], list[Array]]:
    options = package.SessionOptions()
    options.log_severity_level = 3
    session = package.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    takes, gives = file["inputs"], [tensor["name"] for tensor in file["outputs"]]

    def run(batch: Sequence[Array]) -> list[Array]:
        fed = {tensor["name"]: values.astype(tensor["dtype"]) for tensor, values in zip(takes, batch)}
        outputs: list[Array] = session.run(gives, fed)
        return outputs

    return run


def _tflite(package: Any, path: Path, file: Mapping[str, Any]) -> Callable[[Sequence[Array]], list[Array]]:
    interpreter = package.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    tensor_index = {tensor["name"]: tensor["index"] for tensor in ends}

    def run(batch: Sequence[Array]) -> list[Array]:
        for tensor, values in zip(file["inputs"], batch):
            turned = np.moveaxis(values, 1, -1).astype(tensor["dtype"])
            interpreter.set_tensor(tensor_index[tensor["name"]], np.ascontiguousarray(turned))
        interpreter.invoke()
        return [np.moveaxis(interpreter.get_tensor(tensor_index[tensor["name"]]), -1, 1) for tensor in file["outputs"]]

    return run


class FilePredictor:
    """A model file with the steps before it.

    Args:
        folder: of the bundle.
        manifest: of the folder.
        model: the entry of the network.
        file: the entry of the file.
    """

    def __init__(
        self, folder: Path, manifest: Mapping[str, Any], model: Mapping[str, Any], file: Mapping[str, Any]
    ) -> None:
        self.manifest, self.model, self.file = manifest, model, file
        several = model["preprocessing"].get("inputs")
        self.facts: dict[str, Mapping[str, Any]] = dict(several) if several else {"input": model["preprocessing"]}
        self.shapes = {name: input_shape(tensor) for name, tensor in zip(self.facts, file["inputs"])}
        self._call = open_file(folder / file["name"], file)

    def rank(self, name: str, done: int = 0) -> int:
        """Return the axes of one raw input: a spectrogram is made of a sound, which has one axis less."""
        steps = self.facts[name]["steps"][done:]
        made = [step for step in steps if step["step"] == "log_mel"]
        return len(self.shapes[name]) - len(made)

    def prepared(self, inputs: Mapping[str, Array], done: int = 0) -> list[Array]:
        """Return raw inputs (N, ...) by name as the file takes them; `done` steps are done already.

        Raises:
            PredictError: they have another shape then.
        """
        ready = [prepared(inputs[name], facts["steps"][done:]) for name, facts in self.facts.items()]
        for (name, shape), values in zip(self.shapes.items(), ready):
            if values.shape[1:] != shape:
                raise PredictError(
                    f"inputs of shape {inputs[name].shape[1:]} become {values.shape[1:]}, the file takes {shape}",
                    name,
                    "Inputs are raw, as the training data were, with the channels first",
                    "Give inputs of the shape that the training data had",
                )
        return ready

    def _checked(self, name: str, values: Array, done: int) -> Array:
        """Return raw inputs (N, C, ...); those of one channel may lack its axis."""
        rank = self.rank(name, done)
        if values.ndim == rank and self.shapes[name][0] == 1:
            values = values[:, None]
        if values.ndim != rank + 1 or values.dtype.kind not in "buif" or not len(values):
            raise PredictError(
                f"the inputs are {values.dtype} of shape {values.shape}",
                name,
                f"They are numbers, (samples, channels, ...) with {rank + 1} axes, of one sample or more",
                "Give them as the training data were",
            )
        return values

    def run(self, inputs: Mapping[str, Array], done: int = 0) -> tuple[list[Array], list[Array]]:
        """Return the outputs for raw inputs (N, ...) by name, and the inputs as the file took them.

        Raises:
            PredictError: the inputs do not fit the file, or the runtime fails.
        """
        inputs = {name: self._checked(name, inputs[name], done) for name in self.facts}
        count, *others = (len(values) for values in inputs.values())
        if any(other != count for other in others):
            raise PredictError(
                f"the inputs hold {count} and {', '.join(map(str, others))} samples",
                ", ".join(inputs),
                "Each input has as many samples as the others",
                "Give them so",
            )
        outputs, taken = [], []
        for start in range(0, count, AT_ONCE):
            part = self.prepared({name: values[start : start + AT_ONCE] for name, values in inputs.items()}, done)
            outputs.append(self._in_batches(part))
            taken.append(part)
        return [np.concatenate(each) for each in zip(*outputs)], [np.concatenate(each) for each in zip(*taken)]

    def _in_batches(self, inputs: Sequence[Array]) -> list[Array]:
        size, parts = (
            min(AT_ONCE, len(inputs[0])) if self.file.get("dynamic_batch") else int(self.file["batch"]),
            [],
        )
        for start in range(0, len(inputs[0]), size):
            kept = min(size, len(inputs[0]) - start)
            batch = [np.resize(values[start : start + size], (size, *values.shape[1:])) for values in inputs]
            parts.append([output[:kept] for output in self._call(batch)])
        return [np.concatenate(each) for each in zip(*parts)]

    def call_on_zeros(self) -> Callable[[], Any]:
        """Return a function that runs the file once on a batch of zeros."""
        batch = int(self.file["batch"])
        zeros = [np.zeros((batch, *input_shape(tensor)), tensor["dtype"]) for tensor in self.file["inputs"]]
        return lambda: self._call(zeros)

    def self_test(self, arrays: Mapping[str, Array]) -> tuple[float, float]:
        """Return the largest difference from the outputs when the file was exported, and how large it may be."""
        name, done = self.file["name"], int(self.model["selftest"]["steps_done"])
        inputs = named(arrays, list(self.facts))
        outputs, _ = self.run(inputs, done)
        wanted = [arrays[key] for key in _output_keys(name, len(outputs))]
        tolerance = float(arrays[f"tolerance:{name}"])
        if not np.isfinite(tolerance):
            raise ValueError("the self-test's tolerance is no number")
        if any(got.shape != values.shape for got, values in zip(outputs, wanted)):
            return float("inf"), tolerance
        apart = [np.abs(got.astype(np.float64) - values).max(initial=0) for got, values in zip(outputs, wanted)]
        return float(max(apart)), tolerance

    def quality(self, arrays: Mapping[str, Array]) -> tuple[str, float, int]:
        """Return name and value of the task's quality on raw inputs with `targets`, and the number of samples."""
        task = self.manifest["task"]
        metric = metric_of(task, task["quality"])
        if metric is None or "targets" not in arrays:
            fault = "there are no `targets`" if metric else f"`{task['quality']}` is unknown to this program"
            raise PredictError(
                fault, "--accuracy", "Metrics of hwnas's own tasks are computed, of `inputs` with `targets`", "Add them"
            )
        outputs, seen = self.outputs_and_seen(arrays)
        return task["quality"], metric(outputs[0], arrays["targets"], seen), len(outputs[0])

    def outputs_and_seen(self, arrays: Mapping[str, Array]) -> tuple[list[Array], Array]:
        """Return the outputs for an archive of raw inputs with `targets`, and the first input as a network sees it.

        Raises:
            PredictError: the inputs do not fit the file, or the targets do not fit the outputs.
        """
        inputs, targets = named(arrays, list(self.facts)), arrays["targets"]
        outputs, taken = self.run(inputs, int(arrays.get("steps_done", 0)))
        if targets.ndim < 1 or len(targets) != len(outputs[0]) or targets.dtype.kind not in "buif":
            raise PredictError(
                f"the targets are {targets.dtype} of shape {targets.shape}, for {len(outputs[0])} outputs",
                "targets",
                "There is one target for each sample, a number or an array of numbers",
                "Give as many targets as inputs",
            )
        return outputs, self._seen(taken)

    def _seen(self, taken: Sequence[Array]) -> Array:
        """Return the first input as the network takes it, behind the steps that the file does itself."""
        return prepared(taken[0], next(iter(self.facts.values())).get("in_file", []))

    def answers(self, inputs: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Return the answers to raw inputs (N, ...) by name, JSON-ready."""
        outputs, taken = self.run(inputs)
        seen = self._seen(taken)
        return [self._answer([output[number] for output in outputs], seen[number]) for number in range(len(seen))]

    def _answer(self, outputs: Sequence[Array], given: Array) -> dict[str, Any]:
        kind, first, classes = self.manifest["task"]["name"], outputs[0], self.model.get("classes", [])
        if kind == "classification":
            shares = softmax(first[None].astype(np.float64))[0]
            best = np.argsort(-shares, kind="stable")[:CLASSES_SHOWN]
            return {
                "class": _name(classes, best[0]),
                "shares": {_name(classes, one): float(shares[one]) for one in best},
            }
        if kind == "multilabel":
            return {"labels": [_name(classes, one) for one in np.flatnonzero(first > 0)]}
        if kind == "regression":
            return {
                "values": first.reshape(-1).tolist(),
                "unit": self.manifest["task"].get("options", {}).get("unit", ""),
            }
        if kind == "segmentation":
            labels, counts = np.unique(first.argmax(0), return_counts=True)
            shares = {_name(classes, one): float(count / counts.sum()) for one, count in zip(labels, counts)}
            return {"size": list(first.shape[1:]), "shares": shares}
        if kind == "reconstruction":
            return {"anomaly_score": float(anomaly_scores(first[None], given[None])[0])}
        return {"outputs": [output.tolist() for output in outputs]}


def named(arrays: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Return the raw inputs of an archive by name: `inputs`, of several ones `input:NAME`."""
    keys = ["inputs"] if len(names) == 1 else [f"input:{name}" for name in names]
    if lacking := [key for key in keys if key not in arrays]:
        raise PredictError(
            f"there is no `{lacking[0]}`", "the archive of arrays", f"It holds {', '.join(keys)}", "Write it so"
        )
    return {name: arrays[key] for name, key in zip(names, keys)}


def _output_keys(file: str, count: int) -> list[str]:
    return [f"outputs:{file}"] if count == 1 else [f"outputs:{file}:{number}" for number in range(count)]


def _name(classes: Sequence[str], number: Any) -> str:
    return classes[number] if number < len(classes) else str(number)
