"""ONNX Runtime. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import MissingExtra, reason
from hwnas.runtimes.cuda import gpu_name, no_cuda
from hwnas.runtimes.denormals import float_state_restored
from hwnas.runtimes.onnxruntime_cuda import PROVIDER, SweptModel, providers, sweeper
from hwnas.runtimes.port import Port
from hwnas.runtimes.runtime import check_batch, check_known, in_batches, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array, Arrays

ONNX_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
"""ONNX Runtime's names of what files may take and give -> numpy's."""


@dataclass(frozen=True)
class OnnxRuntime:
    """All graph optimisations, sequential execution, `setup.threads` threads that spin, if there are several, within a
    call only. On CUDA a session is captured as a graph where that succeeds."""

    setup: Setup

    @staticmethod
    def open(setup: Setup) -> OnnxRuntime:
        """The runtime with the installed package's version, and on CUDA the GPU's name, written into its set-up.

        Raises:
            ConfigError: a GPU is requested, and there is none or the package is not built for it.
            MissingExtra: the package is not installed.
        """
        ort, device = _package(), setup.device
        if setup.accelerator == "cuda":
            if PROVIDER not in ort.get_available_providers():
                raise no_cuda(setup.runtime, f"the installed onnxruntime {ort.__version__} is not built for CUDA")
            device = device or gpu_name()
            if not device:
                raise no_cuda(setup.runtime, "neither NVML nor nvidia-smi names a GPU")
        return OnnxRuntime(replace(setup, device=device, runtime_version=str(ort.__version__)))

    def load(self, path: Path) -> OnnxModel | SweptModel:
        """Read a model file; inputs and outputs are bound to fixed buffers, so that `invoke` copies nothing."""
        ort = _package()
        if self.setup.accelerator == "cpu":
            return self._loaded(ort, path, ["CPUExecutionProvider"])
        for graph in (True, False):
            try:
                model = self._loaded(ort, path, providers(graph=graph))
                for _ in range(2 * graph):  # the first call captures, the next one replays
                    model.invoke()
            except Exception:  # what cannot be captured, or replayed, fails in ways of its own
                if not graph:
                    raise
            else:
                return SweptModel(model, sweeper(ort), captured=graph)
        raise AssertionError("the last try returns or raises")

    def _loaded(self, ort: Any, path: Path, on: list[Any]) -> OnnxModel:
        try:
            with float_state_restored():
                session = ort.InferenceSession(str(path), self._options(ort), providers=on)
        except Exception as error:  # its exceptions share no narrower base
            raise unreadable(path, self.setup.runtime, error) from error
        if self.setup.accelerator == "cuda" and session.get_providers()[0] != PROVIDER:
            raise no_cuda(self.setup.runtime, "ONNX Runtime went back to the CPU")
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if not {tensor.type for tensor in [*inputs, *outputs]} <= ONNX_DTYPES.keys():
            types = ", ".join(f"{tensor.name}: {tensor.type}" for tensor in [*inputs, *outputs])
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {types}")
        batch = self.setup.batch
        for tensor in inputs:
            shape = tuple(tensor.shape)
            if not all(isinstance(size, int) for size in shape[1:]):
                raise unreadable(path, self.setup.runtime, f"its input has the open shape {shape}")
            check_batch(path, self.setup, shape[0] if isinstance(shape[0], int) else batch)
        takes = [_port(session, tensor, "input_quantization") for tensor in inputs]
        gives = [_port(session, tensor, "output_quantization") for tensor in outputs]
        random = [port.random((batch, *tensor.shape[1:])) for port, tensor in zip(takes, inputs)]
        shapes = [tuple(tensor.shape) for tensor in outputs]
        if not all(isinstance(size, int) for shape in shapes for size in shape):
            run = session.run(None, {tensor.name: values for tensor, values in zip(inputs, random)})
            shapes = [values.shape for values in run]
        device, binding = self.setup.accelerator, session.io_binding()
        entering = [ort.OrtValue.ortvalue_from_numpy(values, device, 0) for values in random]
        leaving = [
            ort.OrtValue.ortvalue_from_shape_and_type(shape, port.dtype, device, 0)
            for shape, port in zip(shapes, gives)
        ]
        for tensor, value in zip(inputs, entering):
            binding.bind_ortvalue_input(tensor.name, value)
        for tensor, value in zip(outputs, leaving):
            binding.bind_ortvalue_output(tensor.name, value)
        return OnnxModel(path, session, binding, batch, tuple(zip(entering, takes)), tuple(zip(leaving, gives)))

    def _options(self, ort: Any) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if self.setup.threads > 1 else "0")
        # Threads that go on spinning after a call would take the cores from the next model in an interleaved round.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")  # on its own threads
        options.log_severity_level = 3  # errors; those are raised as well
        return options


@dataclass(frozen=True)
class OnnxModel:
    """A session with its buffers."""

    path: Path
    session: Any
    binding: Any
    batch: int
    inputs: tuple[tuple[Any, Port], ...]
    """The buffer of each input, and its numbers."""
    outputs: tuple[tuple[Any, Port], ...]

    @property
    def delegate(self) -> str:
        """Providers that compute within the session, such as `CPUExecutionProvider`."""
        return "+".join(self.session.get_providers())

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples."""
        for _, taken in self.inputs:
            for _, returned in self.outputs:
                check_known(self.path, taken, returned)
        return in_batches(inputs, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the buffers as they are."""
        self.session.run_with_iobinding(self.binding)

    def _infer(self, *inputs: Array) -> Any:
        for (buffer, port), values in zip(self.inputs, inputs):
            buffer.update_inplace(port.encode(values))
        self.invoke()
        # newer releases hand out a view of the buffer
        outputs = tuple(port.decode(buffer.numpy().copy()) for buffer, port in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def _port(session: Any, tensor: Any, key: str) -> Port:
    """Return the port at one end; `hwnas.export` writes the scale and the zero point of integers into the metadata."""
    scale, _, zero_point = session.get_modelmeta().custom_metadata_map.get(key, "0 0").partition(" ")
    return Port(ONNX_DTYPES[tensor.type], float(scale), int(zero_point))


def _package() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            f"the package `onnxruntime` cannot be imported ({reason(error)})",
            where="runtime `onnxruntime`",
            allowed="It comes with hwnas; a board needs it and numpy",
            do="Run: pip install onnxruntime",
        ) from error
    return onnxruntime
