"""Classifier behind blocks that end without normalisation."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Readout(Operator):
    """(in_channels, H, W) -> (out_channels,): normalisation, activation, global pooling, a linear layer."""

    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import activation

        return nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(self.in_channels),
                act=activation(self.activation),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                linear=nn.Linear(self.in_channels, self.out_channels),
            )
        )
