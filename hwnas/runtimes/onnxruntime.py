"""ONNX Runtime on the CPU. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.errors import MissingExtra
from hwnas.runtimes.runtime import check_batch, in_batches, random_images, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.runtime import Array


@dataclass(frozen=True)
class OnnxRuntime:
    """All graph optimisations, sequential execution, `setup.threads` threads that spin, if there are several, within a
    call only."""

    setup: Setup
    suffix: ClassVar[str] = ".onnx"

    @staticmethod
    def open(setup: Setup) -> OnnxRuntime:
        """The runtime with the installed package's version written into its set-up."""
        return OnnxRuntime(replace(setup, runtime_version=str(_package().__version__)))

    def load(self, path: Path) -> OnnxModel:
        """Read a model file; inputs and outputs are bound to fixed buffers, so that `invoke` copies nothing."""
        import numpy as np

        ort = _package()
        try:
            session = ort.InferenceSession(str(path), self._options(ort), providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no narrower base
            raise unreadable(path, self.setup.runtime, error) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{tensor.name}: {tensor.type}" for tensor in [*inputs, *outputs])
            raise unreadable(path, self.setup.runtime, f"its inputs and outputs are {found}")
        shape = tuple(inputs[0].shape)
        if not all(isinstance(size, int) for size in shape[1:]):
            raise unreadable(path, self.setup.runtime, f"its input has the open shape {shape}")
        batch = shape[0] if isinstance(shape[0], int) else self.setup.batch
        check_batch(path, self.setup, batch)
        images = random_images((batch, *shape[1:]))
        given = ort.OrtValue.ortvalue_from_numpy(images)
        out_shape = session.run(None, {inputs[0].name: images})[0].shape
        taken = ort.OrtValue.ortvalue_from_shape_and_type(out_shape, np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input(inputs[0].name, given)
        binding.bind_ortvalue_output(outputs[0].name, taken)
        return OnnxModel(session, binding, given, taken, batch)

    def _options(self, ort: Any) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if self.setup.threads > 1 else "0")
        # Threads that go on spinning after a call would take the cores from the next model in an interleaved round.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3  # errors; those are raised as well
        return options


@dataclass(frozen=True)
class OnnxModel:
    """A session with its buffers."""

    session: Any
    binding: Any
    given: Any
    taken: Any
    batch: int

    def run(self, images: Array) -> Array:
        """Outputs for any number of inputs."""
        return in_batches(images, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the buffers as they are."""
        self.session.run_with_iobinding(self.binding)

    def _infer(self, images: Array) -> Array:
        self.given.update_inplace(images)
        self.invoke()
        outputs: Array = self.taken.numpy().copy()  # newer releases hand out a view of the buffer
        return outputs


def _package() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            f"the package `onnxruntime` cannot be imported ({error})",
            where="runtime `onnxruntime`",
            allowed="It comes with hwnas; a board needs it and numpy",
            do="Run: pip install onnxruntime",
        ) from error
    return onnxruntime
