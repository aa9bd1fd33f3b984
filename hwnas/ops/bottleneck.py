"""Residual bottleneck block."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, make_divisible

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Bottleneck(Operator):
    """1x1, kernel, 1x1 with a shortcut (He et al. 2016); a changing shape pools, then projects (ResNet-D).

    The hidden width is `out_channels * expand` rounded to a multiple of 8.
    """

    kernel: int = 3
    expand: float = 0.25
    stride: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, conv_norm

        hidden = make_divisible(round(self.out_channels * self.expand))
        body = nn.Sequential(
            OrderedDict(
                reduce=conv_norm(self.in_channels, hidden, act=self.activation),
                conv=conv_norm(hidden, hidden, self.kernel, stride=self.stride, act=self.activation),
                expand=conv_norm(hidden, self.out_channels),
            )
        )
        return Residual(body, self._shortcut(), self.activation)

    def _shortcut(self) -> nn.Module | None:
        from torch import nn

        from hwnas.ops.layers import conv_norm

        if self.stride == 1 and self.in_channels == self.out_channels:
            return None
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if self.stride > 1:
            layers["pool"] = nn.AvgPool2d(self.stride, self.stride, ceil_mode=True)
        layers["project"] = conv_norm(self.in_channels, self.out_channels)
        return nn.Sequential(layers)
