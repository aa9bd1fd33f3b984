"""Runtimes: a model file becomes a callable on a device. A new one is one file and one row here. No torch in here."""

from __future__ import annotations

from hwnas.registry import Family, member
from hwnas.runtimes.runtime import Loaded, Runtime, checked_setup, offered
from hwnas.runtimes.setup import Setup, cpu_name

RUNTIMES = Family(
    "runtimes",
    {  # name in YAML -> where it lives; imported on use
        "onnxruntime": "hwnas.runtimes.onnxruntime:OnnxRuntime",
        "pytorch": "hwnas.runtimes.pytorch:PyTorch",
        "tflite": "hwnas.runtimes.tflite:TFLite",
    },
)


def open_runtime(
    name: str,
    *,
    threads: int = 1,
    precision: str = "fp32",
    batch: int = 1,
    device: str | None = None,
    accelerator: str = "cpu",
    cores: str = "",
) -> Runtime:
    """The runtime of that name on this machine; `device` defaults to the processor's or the GPU's own name.

    Raises:
        ConfigError: unknown runtime, or a set-up that no runtime here offers.
        MissingExtra: the runtime's package is not installed.
    """
    kind = member(RUNTIMES, name, what="runtime", where="set-up")
    device = device or (cpu_name() if accelerator == "cpu" else "")
    setup = checked_setup(Setup(device, name, "", threads, precision, batch, accelerator, cores))
    runtime: Runtime = kind.open(setup)
    return runtime


def suffix_of(runtime: str) -> str:
    """Return the suffix of a runtime's model files, whether the runtime is installed here or not.

    Raises:
        ConfigError: unknown runtime.
    """
    suffix: str = member(RUNTIMES, runtime, what="runtime", where="set-up").suffix
    return suffix


__all__ = ["RUNTIMES", "Loaded", "Runtime", "Setup", "checked_setup", "offered", "open_runtime", "suffix_of"]
