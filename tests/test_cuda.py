"""Timing on a GPU, with fakes for what no test machine has: nothing in here was measured."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hwnas.errors import ConfigError, TableError
from hwnas.export.onnx import export_onnx
from hwnas.measure.events import Outcomes
from hwnas.measure.table import open_table, read_table
from hwnas.measure.timing import Timing
from hwnas.measure.worker import run_job
from hwnas.runtimes import Setup, open_runtime
from hwnas.runtimes import pytorch as pytorch_runtime
from hwnas.runtimes.cuda import captured, events_ns, gpu_name, gpu_state, parse_smi
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.runtimes.onnxruntime_cuda import PROVIDER, SweptModel, sweeper
from hwnas.runtimes.pytorch import CudaModel

SMI = "NVIDIA H100 80GB HBM3, 1980, 2619, 41, 118.32, 0x0000000000000024"


class FakeCuda:
    """A GPU whose time passes only when something runs on it; it stands for `torch.cuda`."""

    def __init__(self, *, captures: bool = True) -> None:
        self.ms, self.captures, self.capturing, self.log = 0.0, captures, False, list[str]()
        cuda = self

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.ms = cuda.ms

            def elapsed_time(self, end: Event) -> float:
                return end.ms - self.ms

        class CUDAGraph:
            recorded: Callable[[], None]

            def replay(self) -> None:
                cuda.runs("replay", 1.0)

        self.Event, self.CUDAGraph = Event, CUDAGraph

    def runs(self, what: str, ms: float) -> None:
        if self.capturing:
            if not self.captures:
                raise RuntimeError("operation not permitted when stream is capturing")
            return
        self.log.append(what)
        self.ms += ms

    def call(self) -> None:
        self.runs("call", 3.0)

    def sweep(self) -> None:
        self.runs("sweep", 100.0)

    def Stream(self) -> Any:
        return types.SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def stream(self, stream: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def synchronize(self) -> None:
        assert not self.capturing

    def graph(self, graph: Any) -> AbstractContextManager[None]:
        cuda = self

        class Capture(AbstractContextManager[None]):
            def __enter__(self) -> None:
                cuda.capturing = True

            def __exit__(self, *_: object) -> None:
                cuda.capturing = False

        return Capture()


def test_sweeping_the_cache_is_not_in_the_sample() -> None:
    cuda = FakeCuda()
    assert events_ns(cuda, cuda.call, cuda.sweep, 5) == 5 * 3.0 * 1e6
    assert cuda.log == ["sweep", "call"] * 5


def test_what_can_be_captured_is_replayed() -> None:
    cuda = FakeCuda()
    replay, done = captured(cuda, cuda.call)
    assert done
    cuda.log.clear()
    assert events_ns(cuda, replay, cuda.sweep, 2) == 2 * 1.0 * 1e6
    assert cuda.log == ["sweep", "replay"] * 2


def test_what_cannot_be_captured_is_called() -> None:
    cuda = FakeCuda(captures=False)
    call, done = captured(cuda, cuda.call)
    assert not done
    cuda.log.clear()
    call()
    assert cuda.log == ["call"]


def test_a_call_that_fails_by_itself_is_no_failed_capture() -> None:
    def broken() -> None:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        captured(FakeCuda(), broken)


@pytest.fixture
def small_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_runtime, "SWEEP_BYTES", 64)


@pytest.mark.parametrize("captures", [True, False])
@pytest.mark.usefixtures("small_sweep")
def test_pytorch_on_a_gpu_samples_by_events(captures: bool) -> None:
    cuda = FakeCuda(captures=captures)

    def module(given: torch.Tensor) -> torch.Tensor:
        cuda.call()
        return given * 2

    fake: Any = types.SimpleNamespace(
        cuda=cuda, empty=torch.empty, int8=torch.int8, inference_mode=torch.inference_mode, backends=torch.backends,
        from_numpy=torch.from_numpy,
    )  # fmt: skip
    model = CudaModel.of(fake, module, (torch.zeros(2, 3, 4, 4),), batch=2)
    assert model.captured is captures
    assert model.sample_ns(4) == 4 * (1.0 if captures else 3.0) * 1e6
    if not captures:  # a fake graph replays nothing
        images = np.random.default_rng(0).standard_normal((3, 3, 4, 4)).astype(np.float32)
        np.testing.assert_array_equal(model.run(images), images * 2)


def test_a_line_of_nvidia_smi() -> None:
    assert parse_smi(SMI) == {
        "name": "NVIDIA H100 80GB HBM3", "sm_mhz": 1980.0, "memory_mhz": 2619.0, "celsius": 41.0, "watts": 118.32,
        "throttled": ["power cap", "software thermal"],
    }  # fmt: skip


def test_what_a_gpu_does_not_tell_is_none() -> None:
    told = parse_smi("Orin, with a comma, [N/A], [Not Supported], 41, [N/A], [N/A]")
    assert told["name"] == "Orin, with a comma"
    assert (told["sm_mhz"], told["memory_mhz"], told["celsius"]) == (None, None, 41.0)
    assert (told["watts"], told["throttled"]) == (None, None)
    with pytest.raises(ValueError, match="not 6 fields"):
        parse_smi("No devices were found")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without NVML and nvidia-smi; the folder that programs are looked for in."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def put_smi(folder: Path, answer: str) -> None:
    """An nvidia-smi that keeps its arguments and answers."""
    path = folder / "nvidia-smi"
    path.write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\necho "{answer}"\n')
    path.chmod(0o755)


def test_without_a_driver_nothing_is_known(no_gpu: Path) -> None:
    assert gpu_state() is None
    assert gpu_name() == ""
    put_smi(no_gpu, "No devices were found")
    assert gpu_state() is None


def test_nvidia_smi_is_asked_about_the_visible_gpu(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_smi(no_gpu, SMI)
    assert gpu_state() == parse_smi(SMI)
    assert "--id=0 " in (no_gpu / "arguments").read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1a2b,3")
    assert gpu_name() == "NVIDIA H100 80GB HBM3"
    assert "--id=GPU-1a2b " in (no_gpu / "arguments").read_text()


def fake_nvml(*, present: bool) -> types.ModuleType:
    class NVMLError(Exception):
        pass

    def refuse(*_: object) -> None:
        raise NVMLError("Not Supported")

    nvml: Any = types.ModuleType("pynvml")
    nvml.NVMLError, nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM, nvml.NVML_TEMPERATURE_GPU = NVMLError, 1, 2, 0
    nvml.nvmlInit = (lambda: None) if present else refuse
    nvml.nvmlShutdown = lambda: None
    nvml.nvmlDeviceGetHandleByIndex = nvml.nvmlDeviceGetHandleByUUID = lambda place: place
    nvml.nvmlDeviceGetName = lambda handle: b"Tesla V100"
    nvml.nvmlDeviceGetClockInfo = lambda handle, clock: {1: 1530, 2: 877}[clock]
    nvml.nvmlDeviceGetTemperature = lambda handle, sensor: 50
    nvml.nvmlDeviceGetPowerUsage = lambda handle: 250_000
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = refuse
    module: types.ModuleType = nvml
    return module


def test_nvml_tells_the_same_fields(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(present=True))
    assert gpu_state() == {
        "name": "Tesla V100", "sm_mhz": 1530, "memory_mhz": 877, "celsius": 50, "watts": 250.0, "throttled": None,
    }  # fmt: skip


def test_nvml_without_a_driver_leaves_it_to_nvidia_smi(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(present=False))
    put_smi(no_gpu, SMI)
    assert gpu_name() == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("pytorch", "PyTorch .* sees no GPU"),
        ("onnxruntime", "is not built for CUDA"),
        ("tflite", "accelerator `cuda` is not offered by `tflite`"),
    ],
)
def test_no_gpu_is_an_error_that_says_so(runtime: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=expected):
        open_runtime(runtime, accelerator="cuda")


def test_a_gpu_names_its_set_up(no_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [PROVIDER, "CPUExecutionProvider"])
    with pytest.raises(ConfigError, match="names a GPU"):
        open_runtime("onnxruntime", accelerator="cuda")
    put_smi(no_gpu, SMI)
    for runtime in ("pytorch", "onnxruntime"):
        setup = open_runtime(runtime, accelerator="cuda", precision="fp16").setup
        assert (setup.device, setup.accelerator, setup.precision) == ("NVIDIA H100 80GB HBM3", "cuda", "fp16")


def test_a_measurement_tells_the_gpus_state_before_and_after(no_gpu: Path, tmp_path: Path) -> None:
    put_smi(no_gpu, SMI)
    outcomes: Outcomes[Any] = Outcomes(dict, print)

    class Loaded:
        def invoke(self) -> None:
            pass

        def sample_ns(self, loops: int) -> float:
            return 1e6 * loops

    for accelerator, expected in (("cuda", [parse_smi(SMI)] * 2), ("cpu", None)):
        runtime: Any = types.SimpleNamespace(
            setup=Setup("d", "r", "1", accelerator=accelerator), load=lambda path: Loaded()
        )
        run_job(runtime, [tmp_path / "file"], None, Timing(warm_up_ms=0, min_sample_ms=1, rounds=3), outcomes)
        _, timed = outcomes.results[-1]
        assert timed["rounds_ns"] == (1e6,) * 3
        assert timed["conditions"].get("gpu") == expected


def test_unlike_accelerators_are_unlike_set_ups(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(
        '{"hwnas_table": 1, "setup": {"device": "d", "runtime": "r", "runtime_version": "1", "threads": 1, '
        '"precision": "fp32", "batch": 1}}\n'
    )
    assert read_table(path).setup == Setup("d", "r", "1", accelerator="cpu")
    open_table(path, Setup("d", "r", "1"))
    with pytest.raises(TableError, match="accelerator: cpu / cuda"):
        open_table(path, Setup("d", "r", "1", accelerator="cuda"))


class FakeSession:
    """A session on the processor that says it is on the GPU; captured ones fail where they are told to."""

    def __init__(self, fails: str, on: list[Any], *arguments: Any) -> None:
        self.graph = isinstance(on[0], tuple) and on[0][1]["enable_cuda_graph"] == "1"
        self.fails, self.runs = fails if self.graph else "", 0
        if self.fails == "making":
            raise ValueError("This session cannot use the CUDA graph feature")
        self._real = onnxruntime.InferenceSession(*arguments, providers=["CPUExecutionProvider"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return [PROVIDER]

    def run_with_iobinding(self, binding: Any) -> None:
        self.runs += 1
        if self.fails == "replay" and self.runs == 2:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        self._real.run_with_iobinding(binding)


@pytest.fixture
def fake_ort(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[FakeSession]]:
    """ONNX Runtime with buffers and sessions on the processor whatever is asked for; the sessions made."""

    def install(fails: str) -> list[FakeSession]:
        made: list[FakeSession] = []

        def session(*arguments: Any, providers: list[Any]) -> FakeSession:
            made.append(FakeSession(fails, providers, *arguments))
            return made[-1]

        real = onnxruntime.OrtValue
        value = types.SimpleNamespace(
            ortvalue_from_numpy=lambda array, *_: real.ortvalue_from_numpy(array),
            ortvalue_from_shape_and_type=lambda shape, kind, *_: real.ortvalue_from_shape_and_type(shape, kind),
        )
        names = ("SessionOptions", "ExecutionMode", "GraphOptimizationLevel")
        fake: Any = types.ModuleType("onnxruntime")
        fake.__dict__.update({name: getattr(onnxruntime, name) for name in names})
        fake.InferenceSession, fake.OrtValue = session, value
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        monkeypatch.setattr("hwnas.runtimes.onnxruntime.sweeper", lambda ort: lambda: None)
        return made

    return install


@pytest.mark.parametrize(("fails", "sessions"), [("", 1), ("making", 1), ("replay", 2)])
def test_a_session_that_cannot_be_captured_runs_plainly(
    fails: str, sessions: int, fake_ort: Callable[[str], list[FakeSession]], tmp_path: Path
) -> None:
    path = export_onnx(nn.ReLU(), (2, 3, 4), tmp_path / "relu.onnx")
    made = fake_ort(fails)
    model = OnnxRuntime(Setup("gpu", "onnxruntime", "1", accelerator="cuda")).load(path)
    assert isinstance(model, SweptModel)
    assert model.captured is (not fails)
    assert len(made) == sessions
    images = np.random.default_rng(0).standard_normal((3, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(model.run(images), np.maximum(images, 0))


def test_onnx_runtimes_sample_is_the_calls_alone() -> None:
    now = [0]

    class Model:
        def run(self, images: Any) -> Any:
            return images

        def invoke(self) -> None:
            now[0] += 7

    def sweep() -> None:
        now[0] += 1000

    model = SweptModel(Model(), sweep, captured=True, clock=lambda: now[0])
    assert model.sample_ns(3) == 21
    assert now[0] == 3021


def test_the_sweep_is_a_model_that_runs() -> None:
    sweeper.cache_clear()
    sweeper(onnxruntime, provider="CPUExecutionProvider", size=4096)()
    sweeper.cache_clear()
