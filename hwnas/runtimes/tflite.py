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
from hwnas.runtimes.port import INTEGER_DTYPES, Port
from hwnas.runtimes.runtime import check_batch, check_known, in_batches, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array, Arrays

TFLITE_PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""Both hold the same `interpreter.Interpreter`; the first one that is installed is used."""
TFLITE_DTYPES = ("float32", "int8", "uint8", *INTEGER_DTYPES)
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
        inputs, outputs = ordered_details(interpreter)
        dtypes = [np.dtype(tensor["dtype"]).name for tensor in [*inputs, *outputs]]
        if not set(dtypes) <= set(TFLITE_DTYPES):
            names = [tensor["name"] for tensor in [*inputs, *outputs]]
            types = ", ".join(f"{name}: {dtype}" for name, dtype in zip(names, dtypes))
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {types}")
        shapes = [tuple(int(size) for size in tensor["shape"]) for tensor in inputs]
        for shape in shapes:
            check_batch(path, self.setup, shape[0])
        if self.setup.precision == "fp16":
            if dtypes != ["float32", "float32"]:
                raise unreadable(path, self.setup.runtime, "in fp16 it runs files of one float32 input and output")
            return Fp16Model.of(path, self.setup, shapes[0], tuple(int(size) for size in outputs[0]["shape"]))
        ports = [Port(dtype, *tensor["quantization"]) for dtype, tensor in zip(dtypes, [*inputs, *outputs])]
        entering = tuple((tensor["index"], port) for tensor, port in zip(inputs, ports))
        for (index, port), shape in zip(entering, shapes):
            interpreter.set_tensor(index, port.random(shape))
        leaving = tuple((tensor["index"], port) for tensor, port in zip(outputs, ports[len(inputs) :]))
        return TFLiteModel(path, interpreter, shapes[0][0], entering, leaving)


def ordered_details(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """Return the details of inputs and outputs in the order in which the network has them.

    Converters number them: `args_0`, `output_0`. The interpreter's own order need not be that.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter._get_full_signature_list() if max(len(inputs), len(outputs)) > 1 else {}
    if len(signatures) != 1:
        return inputs, outputs
    (signature,) = signatures.values()
    return _numbered(inputs, signature["inputs"]), _numbered(outputs, signature["outputs"])


def _numbered(details: list[Any], names: dict[str, int]) -> list[Any]:
    """Return details in the order of the numbers at the ends of their names; as they are if names hold none."""
    by_index = {int(tensor["index"]): tensor for tensor in details}
    numbers = {name: name.rpartition("_")[2] for name in names}
    if set(names.values()) != set(by_index) or not all(number.isdigit() for number in numbers.values()):
        return details
    return [by_index[names[name]] for name in sorted(names, key=lambda name: int(numbers[name]))]


@dataclass(frozen=True)
class TFLiteModel:
    """An interpreter with its inputs and outputs."""

    path: Path
    interpreter: Any
    batch: int
    inputs: tuple[tuple[int, Port], ...]
    """The index of each input, and its numbers."""
    outputs: tuple[tuple[int, Port], ...]

    @property
    def delegate(self) -> str:
        """`XNNPACK` if it took operators of the graph, else `none`: the interpreter's own kernels compute."""
        names = {operator.get("op_name") for operator in self.interpreter._get_ops_details()}
        return "XNNPACK" if "DELEGATE" in names else "none"

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples."""
        for _, entering in self.inputs:
            for _, leaving in self.outputs:
                check_known(self.path, entering, leaving)
        return in_batches(inputs, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the tensors as they are."""
        self.interpreter.invoke()

    def _infer(self, *inputs: Array) -> Any:
        import numpy as np

        for (index, port), values in zip(self.inputs, inputs):
            self.interpreter.set_tensor(index, port.encode(np.moveaxis(values, 1, -1)))
        self.invoke()
        read = self.interpreter.get_tensor
        outputs = tuple(np.moveaxis(port.decode(read(index)), -1, 1) for index, port in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


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
