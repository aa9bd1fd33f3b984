"""LiteRT (TensorFlow Lite) on the CPU, through XNNPACK. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import reason
from hwnas.io.quiet import suppress_stdio
from hwnas.registry import optional
from hwnas.runtimes.port import Port
from hwnas.runtimes.runtime import check_batch, check_known, in_batches, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array

TFLITE_PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""Both hold the same `interpreter.Interpreter`; the first one that is installed is used."""
TFLITE_DTYPES = ("float32", "int8", "uint8")
FORCE_FP16 = 4
"""XNNPACK's flag for computing in fp16 whatever a file's floats are; it fails where the processor has no fp16."""


@dataclass(frozen=True)
class TFLite:
    """The interpreter with its default delegate, XNNPACK; files take and give tensors of more than two axes
    channel-last."""

    setup: Setup

    @staticmethod
    def open(setup: Setup) -> TFLite:
        """The runtime with the installed package and its version written into its set-up."""
        package = _package()
        _interpreter(package)
        name = package.replace("_", "-")
        return TFLite(replace(setup, runtime_version=f"{name} {metadata.version(name)}"))

    def load(self, path: Path) -> TFLiteModel | Fp16Model:
        """Read a model file and set random inputs."""
        import numpy as np

        kind = _interpreter(_package())
        try:
            with suppress_stdio():  # each delegate announces itself on standard error
                interpreter = kind(model_path=str(path), num_threads=self.setup.threads)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise unreadable(path, self.setup.runtime, error) from error
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        dtypes = [np.dtype(tensor["dtype"]).name for tensor in [*inputs, *outputs]]
        if len(inputs) != 1 or len(outputs) != 1 or not set(dtypes) <= set(TFLITE_DTYPES):
            names = [tensor["name"] for tensor in [*inputs, *outputs]]
            types = ", ".join(f"{name}: {dtype}" for name, dtype in zip(names, dtypes))
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {types}")
        shape = tuple(int(size) for size in inputs[0]["shape"])
        check_batch(path, self.setup, shape[0])
        if self.setup.precision == "fp16":
            return Fp16Model.of(path, self.setup, shape, tuple(int(size) for size in outputs[0]["shape"]))
        ports = [Port(dtype, *tensor["quantization"]) for dtype, tensor in zip(dtypes, [inputs[0], outputs[0]])]
        interpreter.set_tensor(inputs[0]["index"], ports[0].random(shape))
        return TFLiteModel(path, interpreter, inputs[0]["index"], outputs[0]["index"], shape[0], *ports)


@dataclass(frozen=True)
class TFLiteModel:
    """An interpreter with its one input and one output."""

    path: Path
    interpreter: Any
    given: int
    taken: int
    batch: int
    input: Port
    output: Port

    @property
    def delegate(self) -> str:
        """`XNNPACK` if it took operators of the graph, else `none`: the interpreter's own kernels compute."""
        names = {operator.get("op_name") for operator in self.interpreter._get_ops_details()}
        return "XNNPACK" if "DELEGATE" in names else "none"

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs."""
        check_known(self.path, self.input, self.output)
        outputs: Array = in_batches(images, self.batch, self._infer)
        return outputs

    def invoke(self) -> None:
        """One inference on the tensors as they are."""
        self.interpreter.invoke()

    def _infer(self, images: Array) -> Array:
        import numpy as np

        self.interpreter.set_tensor(self.given, self.input.encode(np.moveaxis(images, 1, -1)))
        self.invoke()
        return np.moveaxis(self.output.decode(self.interpreter.get_tensor(self.taken)), -1, 1)


@dataclass(frozen=True)
class Fp16Model:
    """A file that XNNPACK computes in fp16, through LiteRT's compiled models: the interpreter cannot ask for that.

    Inputs and outputs are float32; the conversions at both ends belong to the call.
    """

    model: Any
    given: Any
    taken: Any
    batch: int
    shape: tuple[int, ...]
    """Of the output."""

    @staticmethod
    def of(path: Path, setup: Setup, shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Fp16Model:
        """The file ready to be called on random inputs of the shape."""
        package, options, cpu = (
            optional(f"{TFLITE_PACKAGES[0]}.{name}", extra="tflite", why="runtime `tflite` in fp16")
            for name in ("compiled_model", "options", "cpu_options")
        )
        wanted = options.Options(
            hardware_accelerators=package.HardwareAccelerator.CPU,
            cpu_options=cpu.CpuOptions(num_threads=setup.threads, xnnpack_flags=FORCE_FP16),
        )
        try:
            with suppress_stdio():
                model = package.CompiledModel.from_file(str(path), options=wanted, environment=_environment(package))
                (given,), (taken,) = model.create_input_buffers(0), model.create_output_buffers(0)
                given.write(Port("float32").random(shape))
        except (ValueError, RuntimeError) as error:
            raise unreadable(path, setup.runtime, f"{reason(error)}; does the processor compute in fp16?") from error
        return Fp16Model(model, given, taken, shape[0], out_shape)

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs."""
        outputs: Array = in_batches(images, self.batch, self._infer)
        return outputs

    def invoke(self) -> None:
        """One inference on the input as it is."""
        self.model.run_by_index(0, [self.given], [self.taken])

    def _infer(self, images: Array) -> Array:
        import numpy as np

        self.given.write(np.ascontiguousarray(np.moveaxis(images, 1, -1)))
        self.invoke()
        outputs = self.taken.read(int(np.prod(self.shape)), np.float32)
        return np.moveaxis(outputs.reshape(self.shape), -1, 1)


@lru_cache(maxsize=1)
def _environment(package: Any) -> Any:
    """LiteRT's own state, one for the process: it announces its beginning on standard error, and its end as well."""
    atexit.register(_no_more_messages)
    return package.Environment.create()


def _no_more_messages() -> None:
    """Redirect standard error to the null device as the process ends, after tracebacks; later native output is lost."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _package() -> str:
    return next((name for name in TFLITE_PACKAGES if util.find_spec(name) is not None), TFLITE_PACKAGES[0])


def _interpreter(package: str) -> Any:
    with suppress_stdio():
        module = optional(f"{package}.interpreter", extra="tflite", why="runtime `tflite`")
    return module.Interpreter
