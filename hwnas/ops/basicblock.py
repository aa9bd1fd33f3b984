"""Residual block of two convolutions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class BasicBlock(Operator):
    """Two convolutions with a shortcut (He et al. 2016); where the shape changes, the shortcut is a 1x1 convolution of
    the same stride, without normalisation.

    `bias` is as of `dsconv`.
    """

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"
    bias: bool = False

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, conv_norm, with_bias

        width, act = self.out_channels, self.activation
        body = nn.Sequential(
            OrderedDict(
                first=conv_norm(self.in_channels, width, self.kernel, stride=self.stride, act=act),
                second=conv_norm(width, width, self.kernel),
            )
        )
        same = self.stride == 1 and self.in_channels == width
        shortcut = None if same else nn.Conv2d(self.in_channels, width, 1, self.stride, bias=False)
        block = Residual(body, shortcut, act)
        return with_bias(block) if self.bias else block
