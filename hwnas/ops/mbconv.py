"""Inverted residual block."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import final

from torch import nn

from hwnas.ops.layers import Residual, SqueezeExcite, conv_norm
from hwnas.ops.operator import Operator, make_divisible


@final
@dataclass(frozen=True)
class MBConv(Operator):
    """1x1 expansion, depthwise kernel, optional squeeze-excite, 1x1 projection (MobileNetV2 and V3).

    The hidden width is `in_channels * expand` rounded to a multiple of 8; expansion 1 has no expanding
    convolution and keeps `in_channels`. A shortcut is added at stride 1 and equal widths.
    """

    kernel: int
    expand: float
    stride: int = 1
    se: bool = False
    activation: str = "relu"

    def module(self) -> nn.Module:
        hidden = self.in_channels if self.expand == 1 else make_divisible(round(self.in_channels * self.expand))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if self.expand != 1:
            layers["expand"] = conv_norm(self.in_channels, hidden, act=self.activation)
        layers["depth"] = conv_norm(hidden, hidden, self.kernel, stride=self.stride, groups=hidden, act=self.activation)
        if self.se:
            layers["se"] = SqueezeExcite(hidden)
        layers["project"] = conv_norm(hidden, self.out_channels)
        body = nn.Sequential(layers)
        return (
            Residual(body)
            if self.stride == 1 and self.in_channels == self.out_channels
            else nn.Sequential(OrderedDict(body=body))
        )
