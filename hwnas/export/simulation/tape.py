"""Calls of a module's forward pass, recorded once, and the tensors among them that writers of int8 files quantise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hwnas.export.simulation.grid import Grid

FUSED_ACTIVATIONS = frozenset({"relu", "relu_", "relu6", "hardtanh", "clamp", "clamp_min"})
"""Activations that both runtimes fuse into the operator before: what lies between is not rounded."""
WEIGHTED: Mapping[str, int] = {
    "conv1d": 0, "conv2d": 0, "conv3d": 0, "linear": 0,
    "conv_transpose1d": 1, "conv_transpose2d": 1,
}  # fmt: skip
"""Calls with a weight as their second argument, and the axis of its output channels."""
SAME_GRID = frozenset({"avg_pool1d", "avg_pool2d"})
"""Calls whose outputs are on the grid of their inputs."""
ARITHMETIC = frozenset(
    {"add", "add_", "mul", "mul_", "sub", "div", "cat", "concat", "matmul", "bmm", "mean", "sum", "sigmoid", "tanh",
     "softmax", "gelu", "layer_norm", "batch_norm", "group_norm", "instance_norm", "silu", "leaky_relu", "elu",
     "adaptive_avg_pool1d", "adaptive_avg_pool2d", "scaled_dot_product_attention", "hardswish", "hardsigmoid",
     "interpolate", "exp", "sqrt", "rsqrt", "pow", "log", "prelu", "softplus"}
)  # fmt: skip
"""Calls whose outputs have a range of their own. All others move numbers and change none."""
FLOAT_IN_ONNX = frozenset(
    {"sub", "div", "mean", "sum", "tanh", "gelu", "elu", "exp", "sqrt", "rsqrt", "pow", "log", "softplus", "prelu"}
)
"""Those that ONNX Runtime's quantiser leaves in floats: only their ends are rounded, where a quantised neighbour is."""


def name_of(function: Any) -> str:
    """Return the name of a torch function: `add` for every way to write a sum."""
    name = str(getattr(function, "__name__", ""))
    return name.removeprefix("__").removesuffix("__").removeprefix("r").removeprefix("i") if "__" in name else name


@dataclass
class RecordedCall:
    """One call of a forward pass."""

    name: str
    sources: tuple[int, ...]
    """Numbers of the calls whose outputs it takes; 0 is the module's input."""
    low: float = 0.0
    high: float = 0.0

    @property
    def computes(self) -> bool:
        """True if its outputs are numbers that its inputs do not hold."""
        return (
            self.name in ARITHMETIC or self.name in WEIGHTED or self.name in FUSED_ACTIVATIONS or self.name == "input"
        )


@dataclass
class Tape(TorchFunctionMode):
    """Records the calls of forward passes, with the ranges of what they return over all passes."""

    calls: list[RecordedCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._numbers: dict[int, int] = {}
        self._alive: list[Tensor] = []
        self._next = 0

    def begin(self, inputs: Tensor) -> None:
        """Begin a forward pass of these inputs."""
        self._numbers, self._alive, self._next = {}, [], 0
        self._note("input", (), inputs)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and note the call if it returns floats."""
        out = func(*args, **(kwargs or {}))
        if (first := first_float(out)) is None:
            return out
        inputs = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, Tensor)]
        sources = tuple(self._numbers[id(one)] for one in inputs if id(one) in self._numbers)
        number = self._note(name_of(func), sources, first)
        for one in tree_leaves(out):
            if isinstance(one, Tensor) and one is not first:
                self._numbers[id(one)] = number
                self._alive.append(one)
        return out

    def _note(self, name: str, sources: tuple[int, ...], out: Tensor) -> int:
        number, self._next = self._next, self._next + 1
        if number == len(self.calls):
            self.calls.append(RecordedCall(name, sources))
        call = self.calls[number]
        if call.computes or call.name in SAME_GRID:
            low, high = (float(end) for end in torch.aminmax(out.detach()))
            call.low, call.high = min(call.low, low), max(call.high, high)
        self._numbers[id(out)] = number
        self._alive.append(out)  # or a later tensor gets its `id`
        return number


def first_float(out: Any) -> Tensor | None:
    """Return the first tensor of floats that a call returned; None if there is none."""
    if isinstance(out, Tensor):
        return out if out.is_floating_point() else None
    return next((one for one in tree_leaves(out) if isinstance(one, Tensor) and one.is_floating_point()), None)


def grids_of(calls: Sequence[RecordedCall], floats: frozenset[str] = frozenset()) -> dict[int, Grid]:
    """Return the grids of tensors that are quantised, by the number of the call that returns them.

    Args:
        calls: of a forward pass.
        floats: names of calls that a runtime computes in floats.
    """
    origin = list(range(len(calls)))
    """The call whose numbers a call returns: calls that only move numbers return those of their source."""
    readers: dict[int, list[int]] = {}
    for number, call in enumerate(calls):
        for source in dict.fromkeys(call.sources):
            readers.setdefault(origin[source], []).append(number)
        if not (call.computes or call.name in SAME_GRID) and call.sources:
            origin[number] = origin[call.sources[0]]

    def quantised(number: int) -> bool:
        return calls[number].name not in floats and calls[number].name != "input" and calls[number].computes

    grids: dict[int, Grid] = {}
    for number, call in enumerate(calls):
        after = readers.get(number, [])
        if call.name in SAME_GRID and call.sources:
            source = origin[call.sources[0]]
            if source in grids:
                grids[number] = grids[source]
            continue
        fused = call.name != "input" and len(after) == 1 and calls[after[0]].name in FUSED_ACTIVATIONS
        if not call.computes or fused:
            continue
        arithmetic = [one for one in after if quantised(one) or calls[one].name in SAME_GRID]
        if quantised(number) or arithmetic:
            grids[number] = Grid.over(call.low, call.high)
    return grids
