"""Loss of a network when some of its operators are int8, simulated operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from hwnas.export.simulation import simulated_int8


@final
class MixedNetwork(nn.Module):
    """A network and, for each operator, its int8 twin: any assignment of precisions is computed from these parts.

    An operator in int8 takes and gives numbers of its grids, wherever its neighbours are.

    Args:
        network: children in order are the operators.
        calibration: (N, ...) training inputs, fitted to the network, from which ranges of activations are taken.
        file_format: `onnx` or `tflite`.
    """

    def __init__(self, network: nn.Sequential, calibration: Tensor, *, file_format: str) -> None:
        super().__init__()
        self.plain = nn.ModuleList(network.eval())
        integer = []
        with torch.no_grad():
            for child in self.plain:
                integer.append(simulated_int8(child, calibration, file_format=file_format))
                calibration = child(calibration)
        self.integer = nn.ModuleList(integer)
        self.int8: tuple[bool, ...] = (False,) * len(integer)
        """Which operators are in int8 at present."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs under the present assignment."""
        for plain, integer, rounded in zip(self.plain, self.integer, self.int8, strict=True):
            x = integer(x) if rounded else plain(x)
        return x

    def assigned(self, int8: Sequence[bool]) -> MixedNetwork:
        """Return this network with these operators in int8."""
        self.int8 = tuple(int8)
        return self


def sensitivities(mixed: MixedNetwork, inputs: Tensor) -> list[float]:
    """Return the loss of each operator when it alone is int8: the noise of the outputs, relative to their variance.

    Noise of several operators adds up, to a first order.

    Args:
        mixed: the network.
        inputs: (N, ...) training inputs, fitted to the network.
    """
    noise = []
    with torch.no_grad():
        entering = [inputs]
        for child in mixed.plain:
            entering.append(child(entering[-1]))
        exact = entering.pop()
        power = float(exact.var()) or 1.0
        for number, x in enumerate(entering):
            x = mixed.integer[number](x.clone())
            for child in list(mixed.plain)[number + 1 :]:
                x = child(x)
            noise.append(float((x - exact).square().mean()) / power)
    return noise
