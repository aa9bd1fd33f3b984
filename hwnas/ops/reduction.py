"""Operator that halves the resolution between two stages of cells."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Reduction(Operator):
    """Two 3x3 convolutions, each behind its activation; the shortcut pools, then projects (NAS-Bench-201)."""

    stride: int = 2
    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, activation, conv_norm

        body = nn.Sequential(
            OrderedDict(
                act_a=activation(self.activation),
                conv_a=conv_norm(self.in_channels, self.out_channels, 3, stride=self.stride),
                act_b=activation(self.activation),
                conv_b=conv_norm(self.out_channels, self.out_channels, 3),
            )
        )
        shortcut = nn.Sequential(
            OrderedDict(
                pool=nn.AvgPool2d(self.stride, self.stride, ceil_mode=True),
                project=nn.Conv2d(self.in_channels, self.out_channels, 1, bias=False),
            )
        )
        return Residual(body, shortcut)
