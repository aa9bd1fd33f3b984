"""Depthwise-separable convolution of signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class DSConv1d(Operator):
    """(in_channels, L) -> (out_channels, ceil(L / stride)): `dsconv` along one axis."""

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        from hwnas.ops.layers import separable

        return separable(
            self.in_channels, self.out_channels, self.kernel, stride=self.stride, act=self.activation, axes=1
        )
