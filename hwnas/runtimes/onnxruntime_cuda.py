"""ONNX Runtime on an NVIDIA GPU. Board side: Python 3.9 syntax, no torch.

Not run on a GPU yet: the tests drive it with fakes.
"""

from __future__ import annotations

import base64
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from hwnas.runtimes.cuda import SWEEP_BYTES, Call

if TYPE_CHECKING:
    from hwnas.runtimes.port import Arrays
    from hwnas.runtimes.runtime import Loaded

PROVIDER = "CUDAExecutionProvider"
SWEEPER = base64.b64decode("CAg6OAoLCgF4EgF5IgNOZWcSBXN3ZWVwWhAKAXgSCwoJCAESBQoDEgFuYhAKAXkSCwoJCAESBQoDEgFuQgQKABAN")
"""An ONNX model y = -x on any number of floats: without torch there is no other way to write on the device."""


def providers(*, graph: bool) -> list[Any]:
    """Return the providers of a session: the GPU, in IEEE single precision for fp32, each convolution by the algorithm
    that was fastest when cuDNN tried all of them. A session that is captured as a CUDA graph takes no help from the
    processor.
    """
    options = {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "use_tf32": "0",
        "enable_cuda_graph": "1" if graph else "0",
    }
    return [(PROVIDER, options)] if graph else [(PROVIDER, options), "CPUExecutionProvider"]


@dataclass(frozen=True)
class SweptModel:
    """A model whose buffers lie on the GPU.

    ONNX Runtime lets nobody place events on its stream, so a sample is wall-clock time around calls that wait for the
    GPU: launching and waiting are part of it. The level-2 cache is swept before each call, outside of the time taken.
    """

    model: Loaded
    sweep: Call
    captured: bool
    clock: Callable[[], int] = time.perf_counter_ns

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples."""
        return self.model.run(inputs)

    def invoke(self) -> None:
        """One inference on the buffers as they are, to its end."""
        self.model.invoke()

    def sample_ns(self, loops: int) -> float:
        """Nanoseconds that `loops` calls took, each to its end."""
        elapsed_ns = 0
        for _ in range(loops):
            self.sweep()
            begin = self.clock()
            self.model.invoke()
            elapsed_ns += self.clock() - begin
        return elapsed_ns


@functools.lru_cache(maxsize=1)
def sweeper(ort: Any, *, provider: str = PROVIDER, size: int = SWEEP_BYTES) -> Call:
    """Return a function that writes `size` bytes on the device and waits for it; one for all models of the process."""
    import numpy as np

    device = "cuda" if provider == PROVIDER else "cpu"
    session = ort.InferenceSession(SWEEPER, providers=[provider])
    values = [ort.OrtValue.ortvalue_from_numpy(np.zeros(size // 4, np.float32), device, 0) for _ in range(2)]
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", values[0])
    binding.bind_ortvalue_output("y", values[1])

    def sweep() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return sweep
