"""Inverted residual block with a shortcut at every change of shape."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class ResMBConv(Operator):
    """`mbconv` whose shortcut pools where the block strides and projects where the width changes (AttentiveNAS).

    The projection is a 1x1 convolution without normalisation.
    """

    kernel: int
    expand: float
    stride: int = 1
    se: bool = False
    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, inverted

        body = inverted(
            self.in_channels,
            self.out_channels,
            self.kernel,
            self.expand,
            stride=self.stride,
            se=self.se,
            act=self.activation,
        )
        shortcut: OrderedDict[str, nn.Module] = OrderedDict()
        if self.stride > 1:
            shortcut["pool"] = nn.AvgPool2d(self.stride, self.stride, ceil_mode=True)
        if self.in_channels != self.out_channels:
            shortcut["project"] = nn.Conv2d(self.in_channels, self.out_channels, 1, bias=False)
        return Residual(body, nn.Sequential(shortcut) if shortcut else None)
