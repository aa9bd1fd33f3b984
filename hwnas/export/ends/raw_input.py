"""Steps of the preprocessing as modules before a network, so that its file takes raw numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from hwnas.ops.logmel import LogMel

Step = Mapping[str, Any]
FRONT = "fronts"
"""Name of the part of a module that is computed in floats at every precision."""


@final
class RawInput(nn.Module):
    """A network behind the steps of each of its inputs."""

    def __init__(self, fronts: Sequence[nn.Module], body: nn.Module) -> None:
        super().__init__()
        self.fronts = nn.ModuleList(fronts)
        self.body = body

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs of the network."""
        return self.body(*(front(values) for front, values in zip(self.fronts, inputs, strict=True)))


@final
class Standardized(nn.Module):
    """Numbers less a shift, times a scale, channel by channel.

    Both are operations of their own: folded into a convolution behind it, a shift would be wrong at padded borders.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return (x - self.shift) * self.scale


def front_of(steps: Sequence[Step], channels: int, rank: int) -> nn.Module:
    """Return steps as a module: `subtract`, `multiply`, `divide`, `normalise` and `log_mel`.

    Args:
        steps: in order.
        channels: of an input.
        rank: axes of an input before them.
    """
    modules, run = list[nn.Module](), list[Step]()
    for step in steps:
        if step["step"] == "log_mel":
            modules += _standardized(run, rank)
            knobs = {name: value for name, value in step.items() if name not in ("step", "size")}
            modules.append(LogMel(channels, channels, **knobs).module())
            run, rank = [], rank + 1
        else:
            run.append(step)
    modules += _standardized(run, rank)
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _standardized(steps: Sequence[Step], rank: int) -> list[nn.Module]:
    """Return one module for steps of arithmetic; none if there are none."""
    if not steps:
        return []
    shift, scale = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for step in steps:  # so far (x - shift) * scale
        if step["step"] == "subtract":
            shift = shift + step["by"] / scale
        elif step["step"] == "normalise":
            mean, std = (torch.tensor(step[name], dtype=torch.float64) for name in ("mean", "std"))
            shift, scale = shift + mean / scale, scale / std
        else:
            scale = scale * step["by"] if step["step"] == "multiply" else scale / step["by"]
    axes = (1, -1, *(1,) * (rank - 1))
    return [Standardized(shift.float().reshape(axes), scale.float().reshape(axes))]


def divided_steps(steps: Sequence[Step], done: int) -> tuple[list[Step], list[Step]]:
    """Return the steps before a file and those in it, of which the first `done` stay before it.

    A `resize` is linear, with weights that add up to 1, so it may come before arithmetic that is the same everywhere.
    """
    later = [step for step in steps[done:] if step["step"] != "resize"]
    return [*steps[:done], *(step for step in steps[done:] if step["step"] == "resize")], later
