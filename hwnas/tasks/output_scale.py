"""Modules whose outputs are scaled and shifted, at no cost where the last layer is linear."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d)


@final
class Scaled(nn.Module):
    """Module with outputs (N, columns) that are multiplied by a factor and shifted, each column by its own."""

    factor: Tensor
    shift: Tensor

    def __init__(self, module: nn.Module, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, *inputs: Tensor) -> Tensor:
        """(N, ...) to (N, columns)."""
        outputs: Tensor = self.module(*inputs)
        return outputs * self.factor + self.shift


def scaled(module: nn.Module, shift: Sequence[float], factor: Sequence[float], inputs: Sequence[Tensor]) -> nn.Module:
    """Return a copy of a module in eval mode whose outputs (N, columns) are scaled and shifted.

    The last linear layer takes factor and shift up if nothing but a change of shape follows it, which is tried on the
    `inputs`; else two operations follow the module.
    """
    device = next((value.device for value in module.parameters()), torch.device("cpu"))
    copied = copy.deepcopy(module).eval()
    factors, shifts = (torch.tensor(values, dtype=torch.float64, device=device) for values in (factor, shift))
    tried = [values.to(device) for values in inputs]
    layer = next((part for part in reversed(list(copied.modules())) if isinstance(part, LINEAR)), None)
    if layer is None or len(layer.weight) != len(shifts) or not _is_last(copied, layer, tried):
        return Scaled(copied, factors.float(), shifts.float()).eval()
    with torch.no_grad():
        bias = shifts if layer.bias is None else layer.bias * factors + shifts
        layer.weight.copy_(layer.weight * factors.reshape(-1, *(1 for _ in layer.weight.shape[1:])))
        layer.bias = nn.Parameter(bias.to(layer.weight.dtype))
    return copied


def _is_last(module: nn.Module, layer: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Return whether the module gives what the layer does, reshaped; with the layer's signs turned round as well.

    An activation behind the layer would change one of the two.
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, outputs: Tensor) -> None:
        seen.append(outputs)

    handle = layer.register_forward_hook(keep)
    own = {name: value.clone() for name, value in layer.state_dict().items()}
    try:
        with torch.no_grad():
            for sign in (1, -1):
                layer.load_state_dict({name: sign * value for name, value in own.items()})
                seen.clear()
                outputs = module(*inputs)
                if len(seen) != 1 or outputs.ndim != 2 or not torch.equal(seen[0].reshape(len(outputs), -1), outputs):
                    return False
    finally:
        handle.remove()
        layer.load_state_dict(own)
    return True
