"""LiteRT (TensorFlow Lite) on the CPU, through XNNPACK. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.lookup import optional
from hwnas.quiet import muted
from hwnas.runtimes.runtime import check_batch, in_batches, random_images, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.runtime import Array

PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""Both hold the same `interpreter.Interpreter`; the first one that is installed is used."""


@dataclass(frozen=True)
class TFLite:
    """The interpreter with its default delegate, XNNPACK; files take and give 4-D tensors channel-last."""

    setup: Setup
    suffix: ClassVar[str] = ".tflite"

    @staticmethod
    def open(setup: Setup) -> TFLite:
        """The runtime with the installed package and its version written into its set-up."""
        package = _package()
        _interpreter(package)
        name = package.replace("_", "-")
        return TFLite(replace(setup, runtime_version=f"{name} {metadata.version(name)}"))

    def load(self, path: Path) -> TFLiteModel:
        """Read a model file and set random inputs."""
        import numpy as np

        kind = _interpreter(_package())
        try:
            with muted():  # each delegate announces itself on standard error
                interpreter = kind(model_path=str(path), num_threads=self.setup.threads)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise unreadable(path, self.setup.runtime, error) from error
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0]["dtype"] != np.float32:
            found = ", ".join(f"{tensor['name']}: {np.dtype(tensor['dtype'])}" for tensor in [*inputs, *outputs])
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {found}")
        shape = tuple(int(size) for size in inputs[0]["shape"])
        check_batch(path, self.setup, shape[0])
        interpreter.set_tensor(inputs[0]["index"], random_images(shape))
        return TFLiteModel(interpreter, inputs[0]["index"], outputs[0]["index"], shape[0])


@dataclass(frozen=True)
class TFLiteModel:
    """An interpreter with its one input and one output."""

    interpreter: Any
    given: int
    taken: int
    batch: int

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs."""
        return in_batches(images, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the tensors as they are."""
        self.interpreter.invoke()

    def _infer(self, images: Array) -> Array:
        self.interpreter.set_tensor(self.given, images.transpose(0, 2, 3, 1) if images.ndim == 4 else images)
        self.invoke()
        outputs: Array = self.interpreter.get_tensor(self.taken)
        return outputs.transpose(0, 3, 1, 2) if outputs.ndim == 4 else outputs


def _package() -> str:
    return next((name for name in PACKAGES if util.find_spec(name) is not None), PACKAGES[0])


def _interpreter(package: str) -> Any:
    with muted():
        module = optional(f"{package}.interpreter", extra="tflite", why="runtime `tflite`")
    return module.Interpreter
