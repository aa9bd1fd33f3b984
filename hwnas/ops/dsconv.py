"""Depthwise-separable convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class DSConv(Operator):
    """Depthwise kernel, 1x1 convolution, each with normalisation and activation, without a shortcut (Howard et al.,
    MobileNets, 2017; DS-CNN of Zhang et al., Hello Edge, 2017).

    `bias` gives the convolutions biases, which the normalisation behind them makes idle: published networks have them.
    """

    kernel: int = 3
    stride: int = 1
    activation: str = "relu"
    bias: bool = False

    def module(self) -> nn.Module:
        from hwnas.ops.layers import separable, with_bias

        module = separable(
            self.in_channels, self.out_channels, self.kernel, stride=self.stride, act=self.activation, axes=2
        )
        return with_bias(module) if self.bias else module
