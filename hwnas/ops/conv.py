"""Convolution, normalisation, activation: a stem, or a separate layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Conv(Operator):
    """(in_channels, H, W) -> (out_channels, ceil(H / stride), ceil(W / stride)) for an odd kernel."""

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        from hwnas.ops.layers import conv_norm

        return conv_norm(self.in_channels, self.out_channels, self.kernel, stride=self.stride, act=self.activation)
