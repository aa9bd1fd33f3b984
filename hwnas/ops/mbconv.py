"""Inverted residual block."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


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
        same = self.stride == 1 and self.in_channels == self.out_channels
        return Residual(body) if same else nn.Sequential(OrderedDict(body=body))
