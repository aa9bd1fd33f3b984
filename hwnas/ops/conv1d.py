"""Convolution of signals, normalisation, activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import nn

from hwnas.ops.layers import conv_norm
from hwnas.ops.operator import Operator


@final
@dataclass(frozen=True)
class Conv1d(Operator):
    """(in_channels, L) -> (out_channels, ceil(L / stride)) for an odd kernel."""

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        return conv_norm(
            self.in_channels, self.out_channels, self.kernel, stride=self.stride, act=self.activation, axes=1
        )
