"""Runtimes: a model file becomes a callable on a device. A new one is one file and one row here. No torch in here."""

from __future__ import annotations

from hwnas.errors import ConfigError
from hwnas.registry import Family, InstanceOf, imported, member
from hwnas.runtimes.runtime import Loaded, Runtime
from hwnas.runtimes.setup import Setup, cpu_name
from hwnas.runtimes.spec import Requirement, RuntimeSpec

RUNTIMES = Family(
    "runtimes",
    {  # name in YAML -> what is known of it; it is imported on use
        "onnxruntime": RuntimeSpec(
            "hwnas.runtimes.onnxruntime:OnnxRuntime.open",
            formats=("onnx",),
            precisions={
                "cpu": ("fp32", "int8"),  # of fp16 it makes fp32 on a CPU, by casts around every operator
                "cuda": ("fp32", "fp16"),
            },
            requirement=Requirement(("onnxruntime",), ("onnxruntime",)),
            packages=("onnxruntime",),
        ),
        "pytorch": RuntimeSpec(
            "hwnas.runtimes.pytorch:PyTorch.open",
            formats=("pt2",),
            precisions={"cpu": ("fp32",), "cuda": ("fp32", "fp16")},
            packages=("torch",),
        ),
        "tflite": RuntimeSpec(
            "hwnas.runtimes.tflite:TFLite.open",
            formats=("tflite",),
            precisions={"cpu": ("fp32", "fp16", "int8")},
            requirement=Requirement(
                ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"),
                ("ai-edge-litert",),
                ("tflite-runtime==2.14.0", "numpy<2"),
            ),
            packages=("ai-edge-litert",),
        ),
    },
    InstanceOf(RuntimeSpec),
)


def runtime_spec(name: str) -> RuntimeSpec:
    """Return what is known of a runtime before it is imported.

    Raises:
        ConfigError: unknown runtime.
    """
    spec: RuntimeSpec = member(RUNTIMES, name, what="runtime", where="set-up")
    return spec


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
    runtime_spec(name)
    device = device or (cpu_name() if accelerator == "cpu" else "")
    return open_setup(checked_setup(Setup(device, name, "", threads, precision, batch, accelerator, cores)))


def open_setup(setup: Setup) -> Runtime:
    """Return the runtime of a set-up on this machine, with its own version and device written into the set-up.

    Raises:
        ConfigError: unknown runtime, or an accelerator that this machine lacks.
        MissingExtra: the runtime's package is not installed.
    """
    spec = runtime_spec(setup.runtime)
    runtime: Runtime = imported(spec.open, what=f"runtime `{setup.runtime}`", where="set-up")(setup)
    return runtime


def offered(runtime: str, accelerator: str = "cpu") -> tuple[str, ...]:
    """The precisions that a runtime computes in on an accelerator; none if it does not use that.

    Raises:
        ConfigError: unknown runtime.
    """
    return runtime_spec(runtime).precisions.get(accelerator, ())


def checked_setup(setup: Setup) -> Setup:
    """The set-up itself, if its runtime offers it.

    Raises:
        ConfigError: an unknown runtime, an accelerator or a precision that is not offered, or less than one thread or
            image.
    """
    accelerators = runtime_spec(setup.runtime).precisions
    if setup.accelerator not in accelerators:
        raise ConfigError(
            f"accelerator `{setup.accelerator}` is not offered by `{setup.runtime}`",
            where="set-up",
            allowed=f"It offers {', '.join(accelerators)}",
            do="Correct `accelerator`, or use another runtime",
        )
    precisions = accelerators[setup.accelerator]
    if setup.precision not in precisions:
        raise ConfigError(
            f"precision `{setup.precision}` is not offered by `{setup.runtime}` on `{setup.accelerator}`",
            where="set-up",
            allowed=f"It offers {', '.join(precisions)}",
            do="Set `precision` to one of them, or use another runtime",
        )
    for name, value in (("threads", setup.threads), ("batch", setup.batch)):
        if value < 1:
            raise ConfigError(
                f"`{name}: {value}`",
                where="set-up",
                allowed=f"`{name}` is a whole number from 1 on",
                do=f"Correct `{name}`",
            )
    return setup


__all__ = [
    "RUNTIMES",
    "Loaded",
    "Requirement",
    "Runtime",
    "RuntimeSpec",
    "Setup",
    "checked_setup",
    "offered",
    "open_runtime",
    "open_setup",
    "runtime_spec",
]
