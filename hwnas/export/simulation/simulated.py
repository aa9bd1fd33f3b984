"""A network as its int8 file computes: folded, its weights and activations rounded where the writers quantise them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hwnas.errors import ExportError
from hwnas.export.fold import fold_
from hwnas.export.quantize import integer_friendly_
from hwnas.export.simulation.grid import Grid, rounded_weight
from hwnas.export.simulation.tape import FLOAT_IN_ONNX, WEIGHTED, Tape, first_float, grids_of, name_of

CALIBRATION_BATCH, CALIBRATION_NUMBERS = 32, 2**17
"""Calibration inputs that run at a time, or more if they hold no more than so many numbers: all activations of a pass
are alive while it is recorded."""
FLOATS: Mapping[str, frozenset[str]] = {"onnx": FLOAT_IN_ONNX, "tflite": frozenset()}
"""Calls that stay in floats, by file format."""


@final
class SimulatedInt8(nn.Module):
    """A module whose outputs are those of its int8 file, but for rounding in the last digit of a sum.

    Biases stay in floats: the files hold them in 32 bits at the product of two scales. The module that is wrapped is a
    copy; its parameters may be trained, with gradients straight through all roundings.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...], grids: Mapping[int, Grid]) -> None:
        super().__init__()
        self.module = module
        self.names, self.grids = names, dict(grids)
        self.evens_steps = False
        """True if gradients of weights are evened over input channels, for training: see `even_steps`."""
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}

    def forward(self, *inputs: Tensor) -> Any:
        """Return the outputs of float inputs, as a file does that takes and gives floats."""
        grid = self.grids.get(0)
        first = inputs[0] if grid is None else grid.rounded(inputs[0])
        with _Rounding(self):
            return self.module(first, *inputs[1:])

    def train(self, mode: bool = True) -> SimulatedInt8:
        """Stay in eval mode: a file has no statistics that change, and no dropout."""
        return super().train(False)

    def weight(self, weight: Tensor, axis: int, inputs: Tensor) -> Tensor:
        """Return a weight on its grid; without gradients it is rounded once."""
        if torch.is_grad_enabled() and weight.requires_grad:
            self._weights.clear()  # training changes them
            return rounded_weight(even_steps(weight, axis, inputs) if self.evens_steps else weight, axis)
        kept = self._weights.get(id(weight))
        if kept is None or kept[0] is not weight:
            kept = self._weights[id(weight)] = weight, rounded_weight(weight, axis)
        return kept[1]


def simulated_int8(
    module: nn.Module, calibration: Tensor, *, file_format: str = "onnx", in_place: bool = False
) -> SimulatedInt8:
    """Return a copy of a module in eval mode that computes as its int8 file does.

    Args:
        module: a network with its normalisation statistics settled, as it is exported.
        calibration: (N, ...) training inputs, fitted to the network; ranges of activations are those over all of them.
        file_format: `onnx` or `tflite`: they differ in what stays in floats.
        in_place: change the module itself, which nobody else needs: copying a small one takes longer than running it.

    Raises:
        ExportError: the module computes something else from one input to the next.
    """
    ready = fold_(integer_friendly_(module if in_place else copy.deepcopy(module)))
    tape = Tape()
    with torch.no_grad():
        size = max(CALIBRATION_BATCH, CALIBRATION_NUMBERS // calibration[0].numel())
        for inputs in (calibration[start : start + size] for start in range(0, len(calibration), size)):
            tape.begin(inputs)
            with tape:
                ready(inputs)
    grids = grids_of(tape.calls, FLOATS[file_format])
    return SimulatedInt8(ready, tuple(call.name for call in tape.calls), grids).eval()


def even_steps(weight: Tensor, axis: int, inputs: Tensor) -> Tensor:
    """Return a weight whose gradients are damped for input channels that are larger than most.

    A folded network may have channels of very unlike sizes. The steps that suit most weights would be too large for
    those that read a large channel, by the square of its size.
    """
    channel = inputs.ndim - 1 if weight.ndim == 2 else 1
    power = inputs.detach().square().mean([number for number in range(inputs.ndim) if number != channel])
    if len(power) == weight.shape[1 - axis]:
        channel_axis = 1 - axis
    elif weight.shape[1 - axis] == 1 and len(power) == weight.shape[axis]:  # depthwise
        channel_axis = axis
    else:
        return weight
    usual = power[power > 0].median() if bool((power > 0).any()) else power.new_ones(())
    share = (usual / power.clamp_min(1e-30)).clamp_max(1.0)
    damped = weight * share.view([-1 if number == channel_axis else 1 for number in range(weight.ndim)])
    return damped + (weight - damped).detach()


@final
class _Rounding(TorchFunctionMode):
    """Rounds what the calls of a forward pass return, by the plan of a simulated module."""

    def __init__(self, simulated: SimulatedInt8) -> None:
        super().__init__()
        self._simulated, self._next = simulated, 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = name_of(func)
        if name in WEIGHTED:
            args = (args[0], self._simulated.weight(args[1], WEIGHTED[name], args[0]), *args[2:])
        out = func(*args, **(kwargs or {}))
        if (first := first_float(out)) is None:
            return out
        number, self._next = self._next, self._next + 1
        if number >= len(self._simulated.names) or self._simulated.names[number] != name:
            raise ExportError(
                f"call {number} of the network is `{name}`, it was another one with the calibration inputs",
                where="simulation of int8",
                allowed="A network computes the same operations for every input",
                do="Write its int8 file, and judge that",
            )
        grid = self._simulated.grids.get(number)
        if grid is None:
            return out
        return grid.rounded(first) if torch.is_grad_enabled() and first.requires_grad else grid.round_(first)
