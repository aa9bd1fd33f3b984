"""Classifier behind blocks that end without normalisation."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import final

from torch import nn

from hwnas.ops.layers import activation
from hwnas.ops.operator import Operator


@final
@dataclass(frozen=True)
class Readout(Operator):
    """(in_channels, H, W) -> (out_channels,): normalisation, activation, global pooling, a linear layer."""

    activation: str = "relu"

    def module(self) -> nn.Module:
        return nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(self.in_channels),
                act=activation(self.activation),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                linear=nn.Linear(self.in_channels, self.out_channels),
            )
        )
