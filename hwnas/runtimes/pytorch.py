"""PyTorch on the CPU and on CUDA. Board side: Python 3.9 syntax, torch inside functions only."""

from __future__ import annotations

import contextlib
import itertools
import operator
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from hwnas.errors import MissingExtra, reason
from hwnas.runtimes.cuda import SWEEP_BYTES, captured, events_ns, no_cuda
from hwnas.runtimes.port import INTEGER_DTYPES, Port
from hwnas.runtimes.pt2 import DAMAGE, PT2_DTYPES, Call, Program, StoredTensor, read_program
from hwnas.runtimes.runtime import check_batch, in_batches, unreadable
from hwnas.runtimes.setup import Setup

if TYPE_CHECKING:
    from hwnas.runtimes.port import Array, Arrays

LITERALS = ("as_bool", "as_bools", "as_int", "as_ints", "as_float", "as_floats", "as_string", "as_strings")
ENUMS: Mapping[str, Mapping[int, str]] = {
    "as_scalar_type": PT2_DTYPES,
    "as_memory_format": {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"},
    "as_layout": {7: "strided"},
}
"""Numbers in the file -> names in PyTorch."""


@dataclass(frozen=True)
class PyTorch:
    """Reads .pt2 archives without unpickling (`hwnas.runtimes.pt2`).

    On the CPU the graph is traced and frozen, which folds what is left to fold and takes Python out of the call; on a
    GPU it is captured as a CUDA graph where that succeeds. Weights and 4-D inputs are channel-last. fp32 is IEEE single
    precision, TF32 is off. Threads, and denormals flushed to zero, are those of the set-up during a call and as they
    were afterwards.
    """

    setup: Setup

    @staticmethod
    def open(setup: Setup) -> PyTorch:
        """The runtime with PyTorch's version, and on CUDA the GPU's name, written into its set-up.

        Raises:
            ConfigError: a GPU is requested and PyTorch sees none.
            MissingExtra: PyTorch is not installed.
        """
        torch = _package()
        device = setup.device
        if setup.accelerator == "cuda":
            if not torch.cuda.is_available():
                raise no_cuda(setup.runtime, f"PyTorch {torch.__version__} sees no GPU")
            device = device or torch.cuda.get_device_name()
        return PyTorch(replace(setup, device=device, runtime_version=str(torch.__version__)))

    def load(self, path: Path) -> CpuModel | CudaModel:
        """Read a model file, optimise it and set random inputs."""
        torch = _package()
        try:
            program = read_program(path)
            for one in program.inputs:
                if one.dtype not in ("float32", "float16", *INTEGER_DTYPES):
                    raise ValueError(f"its input `{one.name}` is {one.dtype}")
        except DAMAGE as error:
            raise unreadable(path, self.setup.runtime, error) from error
        for one in program.inputs:
            check_batch(path, self.setup, one.shape[0])
        try:
            module = _module(torch, program, self.setup.accelerator)
            drawn = (torch.from_numpy(Port(one.dtype).random(one.shape)) for one in program.inputs)
            inputs = tuple(_channel_last(torch, tensor) for tensor in drawn)
            if self.setup.accelerator == "cuda":
                return CudaModel.of(torch, module, tuple(tensor.cuda() for tensor in inputs), self.setup.batch)
            with _as_set_up(torch, self.setup.threads):
                return CpuModel(torch, _frozen(torch, module, inputs), inputs, self.setup.threads, self.setup.batch)
        except (*DAMAGE, RuntimeError) as error:
            raise unreadable(path, self.setup.runtime, error) from error


@dataclass(frozen=True)
class CpuModel:
    """A frozen graph with its inputs."""

    torch: Any
    module: Callable[..., Any]
    given: tuple[Any, ...]
    threads: int
    batch: int

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples."""
        return in_batches(inputs, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the input as it is."""
        self.sample_ns(1)

    def sample_ns(self, loops: int) -> float:
        """Nanoseconds that `loops` calls took, entering and leaving the set-up's state not counted."""
        with _as_set_up(self.torch, self.threads):
            module, inputs = self.module, self.given
            begin = time.perf_counter_ns()
            for _ in itertools.repeat(None, loops):
                module(*inputs)
            return time.perf_counter_ns() - begin

    def _infer(self, *inputs: Array) -> Any:
        with _as_set_up(self.torch, self.threads):
            converted = [
                self.torch.from_numpy(values).to(like.dtype, copy=True) for values, like in zip(inputs, self.given)
            ]
            return _numpy(self.module(*(_channel_last(self.torch, tensor) for tensor in converted)))


@dataclass(frozen=True)
class CudaModel:
    """A graph on the GPU, captured if that succeeded, and the memory that it reads and writes."""

    torch: Any
    call: Callable[[], object]
    sweep: Callable[[], object]
    given: tuple[Any, ...]
    taken: list[Any]
    """The outputs of the last call."""
    batch: int
    captured: bool

    @staticmethod
    def of(torch: Any, module: Callable[..., Any], given: tuple[Any, ...], batch: int) -> CudaModel:
        """The graph ready to be called on `given`, which lies on the GPU."""
        taken: list[Any] = [None]

        def call() -> None:
            taken[0] = module(*given)

        swept = torch.empty(SWEEP_BYTES, dtype=torch.int8, device=given[0].device)
        with _on_cuda(torch):
            replay, done = captured(torch.cuda, call)
        return CudaModel(torch, replay, swept.zero_, given, taken, batch, done)

    def run(self, inputs: Arrays) -> Any:
        """Outputs for any number of samples."""
        return in_batches(inputs, self.batch, self._infer)

    def invoke(self) -> None:
        """One inference on the input as it is, to its end."""
        with _on_cuda(self.torch):
            self.call()
            self.torch.cuda.synchronize()

    def sample_ns(self, loops: int) -> float:
        """Nanoseconds that the GPU took for `loops` calls, by events; the cache is swept before each."""
        with _on_cuda(self.torch):
            return events_ns(self.torch.cuda, self.call, self.sweep, loops)

    def _infer(self, *inputs: Array) -> Any:
        with _on_cuda(self.torch):
            for buffer, values in zip(self.given, inputs):
                buffer.copy_(self.torch.from_numpy(values))
            self.call()
            return _numpy(self.taken[0])


@contextlib.contextmanager
def _as_set_up(torch: Any, threads: int) -> Iterator[None]:
    """Put the process into the set-up's state. PyTorch does not expose whether it flushed denormals before; by default
    it does not."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


@contextlib.contextmanager
def _on_cuda(torch: Any) -> Iterator[None]:
    """cuDNN tries its algorithms and takes the fastest, in IEEE single precision."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        yield


def _channel_last(torch: Any, tensor: Any) -> Any:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _numpy(outputs: Any) -> Any:
    """Return outputs as arrays in float32; whole numbers as they are."""
    if isinstance(outputs, (tuple, list)):
        return tuple(map(_numpy, outputs))
    numbers = outputs.float() if outputs.is_floating_point() else outputs
    return numbers.cpu().contiguous().numpy().copy()


def _frozen(torch: Any, module: Any, inputs: tuple[Any, ...]) -> Any:
    """The module as a frozen TorchScript graph. TorchScript is deprecated but has no successor for this: a compiler
    (torch.compile) takes seconds an operator and a C++ compiler on the board."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.trace(module, inputs, check_trace=False).eval())


def _module(torch: Any, program: Program, device: str) -> Any:
    """The program as a module on the device."""
    graph, root = torch.fx.Graph(), torch.nn.Module()
    values = {one.name: graph.placeholder(f"given{number}") for number, one in enumerate(program.inputs)}
    for number, (name, stored) in enumerate(program.tensors.items()):
        root.register_buffer(f"tensor{number}", _channel_last(torch, _tensor(torch, stored)))
        values[name] = graph.get_attr(f"tensor{number}")
    for call in program.calls:
        arguments = [
            (name, _value(torch, kind, raw, values, device), placed) for name, kind, raw, placed in call.arguments
        ]
        result = graph.call_function(
            _operator(torch, call),
            tuple(value for _, value, placed in arguments if placed),
            {name: value for name, value, placed in arguments if not placed},
        )
        for index, name in enumerate(call.results):
            values[name] = result if call.one else graph.call_function(operator.getitem, (result, index))
    taken = tuple(values[name] for name in program.outputs)
    graph.output(taken[0] if len(taken) == 1 else taken)
    return torch.fx.GraphModule(root, graph).eval().to(device)


def _tensor(torch: Any, stored: StoredTensor) -> Any:
    dtype = getattr(torch, stored.dtype)
    flat = torch.frombuffer(bytearray(stored.data), dtype=dtype) if stored.data else torch.empty(0, dtype=dtype)
    return flat.as_strided(stored.sizes, stored.strides, stored.offset).clone()


def _operator(torch: Any, call: Call) -> Any:
    """The ATen operator that a call names. Those whose first argument is text act on files and streams."""
    namespace, _, rest = call.target.partition("torch.ops.aten.")
    name, _, overload = rest.partition(".")
    if namespace or not name.isidentifier() or not overload.isidentifier():
        raise ValueError(f"`{call.target}` is no ATen operator")
    op = getattr(getattr(torch.ops.aten, name), overload)
    schema = op._schema
    if not torch._C._dispatch_has_kernel(op.name()) or (schema.arguments and str(schema.arguments[0].type) == "str"):
        raise ValueError(f"`{call.target}` is no operator on tensors")
    return op


def _value(torch: Any, kind: str, raw: Any, values: dict[str, Any], device: str) -> Any:
    """An argument as PyTorch takes it."""
    if kind == "as_none":
        return None
    if kind in LITERALS:
        return raw
    if kind == "as_tensor":
        return values[raw["name"]]
    if kind in ("as_tensors", "as_optional_tensors"):
        return [None if "as_none" in each else values[each.get("as_tensor", each)["name"]] for each in raw]
    if kind == "as_sym_int":
        return int(raw["as_int"])
    if kind == "as_sym_ints":
        return [int(each["as_int"]) for each in raw]
    if kind == "as_device":
        return torch.device(device)
    if kind in ENUMS:
        return getattr(torch, ENUMS[kind][raw])
    raise ValueError(f"an argument is {kind}")


def _package() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            f"the package `torch` cannot be imported ({reason(error)})",
            where="runtime `pytorch`",
            allowed="It comes with hwnas; a board needs it and numpy",
            do="Run: pip install torch",
        ) from error
    return torch
