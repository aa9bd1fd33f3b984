"""Timing on an NVIDIA GPU, and the state of the GPU meanwhile. Board side: Python 3.9 syntax, no torch.

Nothing here was run on a GPU yet: the tests drive it with fakes. `cuda` stands for the module `torch.cuda`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from typing import Any, Callable

from hwnas.errors import ConfigError

Call = Callable[[], object]
SWEEP_BYTES = 2**27
"""Bytes written between two calls, so that each finds the level-2 cache without its own data: 128 MiB, more than any
GPU holds so far (B200: 126 MB)."""
WARM_UPS = 3
"""Calls before a capture: libraries choose kernels and allocate in the first ones."""
FIELDS = ("name", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "clocks_throttle_reasons.active")
THROTTLE = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clocks",
}
"""Why the clocks are where they are, NVML's nvmlClocksEventReasons."""


def captured(cuda: Any, call: Call) -> tuple[Call, bool]:
    """Return a function that replays `call` as one CUDA graph, and True; `call` and False if it cannot be captured.

    Replayed, its kernels are launched at once: those of small operators take less time than their launches do. `call`
    reads and writes the same memory each time.
    """
    stream = cuda.Stream()
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    cuda.current_stream().wait_stream(stream)
    cuda.synchronize()  # what fails up to here is the call's own failure
    graph = cuda.CUDAGraph()
    try:
        with cuda.graph(graph):
            call()
        graph.replay()
        cuda.synchronize()
    except RuntimeError:  # an operator that synchronises or allocates outside of the pool
        cuda.synchronize()
        return call, False
    replay: Call = graph.replay
    return replay, True


def events_ns(cuda: Any, call: Call, sweep: Call, loops: int) -> float:
    """Return the nanoseconds that the GPU took for `loops` calls, each between two separate events. `sweep` runs before
    each, outside of the events."""
    pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(loops)]
    for begin, end in pairs:
        sweep()
        begin.record()
        call()
        end.record()
    cuda.synchronize()
    return float(sum(begin.elapsed_time(end) for begin, end in pairs)) * 1e6  # events tell milliseconds


def gpu_state() -> dict[str, Any] | None:
    """Name, clocks, temperature, power and throttle reasons of the first GPU that this process sees, through NVML or
    nvidia-smi; None where neither answers, and None for a field that the GPU does not report."""
    return _from_nvml() or _from_smi()


def gpu_name() -> str:
    """Return the GPU's name, empty where it is unknown."""
    state = gpu_state()
    return str(state["name"]) if state else ""


def no_cuda(runtime: str, why: str) -> ConfigError:
    """The error of a set-up that asks for a GPU where none can be used."""
    return ConfigError(
        f"`accelerator: cuda`, but {why}",
        where=f"set-up of runtime `{runtime}`",
        allowed="An NVIDIA GPU with its driver, and a build of the runtime for CUDA, are needed",
        do="Run it on a machine that has both (pip install onnxruntime-gpu, or PyTorch's CUDA wheel), or leave out "
        "`accelerator`",
    )


def parse_smi(line: str) -> dict[str, Any]:
    """The state in one line of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`.

    Raises:
        ValueError: it has fewer fields.
    """
    name, *values = (part.strip() for part in line.rsplit(",", len(FIELDS) - 1))
    if len(values) != len(FIELDS) - 1:
        raise ValueError(f"not {len(FIELDS)} fields: {line!r}")
    sm, memory, celsius, watts = map(_number, values[:4])
    try:
        reasons: list[str] | None = throttle_reasons(int(values[4], 16))
    except ValueError:
        reasons = None
    return {"name": name, "sm_mhz": sm, "memory_mhz": memory, "celsius": celsius, "watts": watts, "throttled": reasons}


def throttle_reasons(bits: int) -> list[str]:
    """The names of NVML's bits."""
    return [name for bit, name in THROTTLE.items() if bits & bit]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A], [Not Supported]
        return None


def _selected() -> str:
    """The first visible GPU, by its number or its UUID."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"


def open_nvml() -> tuple[Any, Any] | None:
    """NVML, which stays open, and its handle of the first visible GPU; None where there is no pynvml or no GPU.

    A query between samples has to be quick: nvidia-smi takes a good part of a second.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return nvml, selected_gpu(nvml)
    except nvml.NVMLError:
        return None


def selected_gpu(nvml: Any) -> Any:
    """NVML's handle of the first visible GPU.

    Raises:
        nvml.NVMLError: there is none.
    """
    gpu = _selected()
    return nvml.nvmlDeviceGetHandleByIndex(int(gpu)) if gpu.isdigit() else nvml.nvmlDeviceGetHandleByUUID(gpu)


def _from_smi() -> dict[str, Any] | None:
    command = ["nvidia-smi", f"--id={_selected()}", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return parse_smi(done.stdout.strip().splitlines()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _from_nvml() -> dict[str, Any] | None:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        handle = selected_gpu(nvml)
        name = nvml.nvmlDeviceGetName(handle)
    except nvml.NVMLError:
        return None
    else:
        watts = _told(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
        bits = _told(nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return {
            "name": name.decode() if isinstance(name, bytes) else name,
            "sm_mhz": _told(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": _told(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
            "celsius": _told(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            "watts": watts and watts / 1e3,
            "throttled": bits if bits is None else throttle_reasons(int(bits)),
        }
    finally:
        nvml.nvmlShutdown()


def _told(nvml: Any, ask: Callable[..., Any], *of: Any) -> float | None:
    try:
        return float(ask(*of))
    except nvml.NVMLError:  # a GPU need not know everything about itself
        return None
