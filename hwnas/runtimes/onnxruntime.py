"""ONNX Runtime. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import MissingExtra, reason
from hwnas.runtimes.cuda import gpu_name, no_cuda
from hwnas.runtimes.denormals import float_state_kept
from hwnas.runtimes.onnxruntime_cuda import PROVIDER, SweptModel, providers, sweeper
from hwnas.runtimes.port import Port
from hwnas.runtimes.runtime import check_batch, check_known, in_batches, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
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
            with float_state_kept():
                session = ort.InferenceSession(str(path), self._options(ort), providers=on)
        except Exception as error:  # its exceptions share no narrower base
            raise unreadable(path, self.setup.runtime, error) from error
        if self.setup.accelerator == "cuda" and session.get_providers()[0] != PROVIDER:
            raise no_cuda(self.setup.runtime, "ONNX Runtime went back to the CPU")
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or not {inputs[0].type, outputs[0].type} <= DTYPES.keys():
            types = ", ".join(f"{tensor.name}: {tensor.type}" for tensor in [*inputs, *outputs])
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {types}")
        shape = tuple(inputs[0].shape)
        if not all(isinstance(size, int) for size in shape[1:]):
            raise unreadable(path, self.setup.runtime, f"its input has the open shape {shape}")
        batch = shape[0] if isinstance(shape[0], int) else self.setup.batch
        check_batch(path, self.setup, batch)
        ports = _port(session, inputs[0], "input_quantization"), _port(session, outputs[0], "output_quantization")
        images = ports[0].random((batch, *shape[1:]))
        given = ort.OrtValue.ortvalue_from_numpy(images, self.setup.accelerator, 0)
        out_shape = tuple(outputs[0].shape)
        if not all(isinstance(size, int) for size in out_shape):
            out_shape = session.run(None, {inputs[0].name: images})[0].shape
        taken = ort.OrtValue.ortvalue_from_shape_and_type(out_shape, ports[1].dtype, self.setup.accelerator, 0)
        binding = session.io_binding()
        binding.bind_ortvalue_input(inputs[0].name, given)
        binding.bind_ortvalue_output(outputs[0].name, taken)
        return OnnxModel(path, session, binding, given, taken, batch, *ports)

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
    given: Any
    taken: Any
    batch: int
    input: Port
    output: Port

    @property
    def delegate(self) -> str:
        """Providers that compute within the session, such as `CPUExecutionProvider`."""
        return "+".join(self.session.get_providers())

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs."""
        check_known(self.path, self.input, self.output)
        return in_batches(images, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the buffers as they are."""
        self.session.run_with_iobinding(self.binding)

    def _infer(self, images: Array) -> Array:
        self.given.update_inplace(self.input.encode(images))
        self.invoke()
        return self.output.decode(self.taken.numpy().copy())  # newer releases hand out a view of the buffer


def _port(session: Any, tensor: Any, key: str) -> Port:
    """Return the port at one end; `hwnas.export` writes the scale and the zero point of integers into the metadata."""
    scale, _, zero_point = session.get_modelmeta().custom_metadata_map.get(key, "0 0").partition(" ")
    return Port(DTYPES[tensor.type], float(scale), int(zero_point))


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
