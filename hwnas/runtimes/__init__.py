"""Runtimes: a model file becomes a callable on a device. A new one is one file and one row here. No torch in here."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.lookup import member
from hwnas.runtimes.runtime import Loaded, Runtime, checked_setup
from hwnas.runtimes.setup import Setup, cpu_name

RUNTIMES: Mapping[str, str] = {  # name in YAML -> where it lives; imported on use
    "onnxruntime": "hwnas.runtimes.onnxruntime:OnnxRuntime",
    "tflite": "hwnas.runtimes.tflite:TFLite",
}


def open_runtime(
    name: str, *, threads: int = 1, precision: str = "fp32", batch: int = 1, device: str | None = None
) -> Runtime:
    """The runtime of that name on this machine; `device` defaults to the processor's own name.

    Raises:
        ConfigError: unknown runtime, or a set-up that no runtime here offers.
        MissingExtra: the runtime's package is not installed.
    """
    kind = member(RUNTIMES, name, what="runtime", where="set-up")
    setup = checked_setup(Setup(device or cpu_name(), name, "", threads, precision, batch))
    runtime: Runtime = kind.open(setup)
    return runtime


__all__ = ["RUNTIMES", "Loaded", "Runtime", "Setup", "open_runtime"]
