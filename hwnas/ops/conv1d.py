"""Convolution of signals, normalisation, activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Conv1d(Operator):
    """(in_channels, L) -> (out_channels, ceil(L / stride)) for an odd kernel."""

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        from hwnas.ops.layers import conv_norm

        return conv_norm(
            self.in_channels, self.out_channels, self.kernel, stride=self.stride, act=self.activation, axes=1
        )
