"""Classifier head."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Classifier(Operator):
    """(in_channels, H, W), (in_channels, L) or (in_channels,) -> (out_channels,): logits of `out_channels` classes.

    `features` > 0 adds a 1x1 convolution before the global pooling, `hidden` > 0 a bias-free linear layer after it
    (both as in MobileNetV3).
    """

    features: int = 0
    hidden: int = 0
    activation: str = "relu"
    dropout: float = 0.0

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import AnyRank, activation, conv_norm

        width = self.in_channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if self.features:
            layers["features"] = conv_norm(width, self.features, act=self.activation)
            width = self.features
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        if self.hidden:
            layers["hidden"] = nn.Linear(width, self.hidden, bias=False)
            layers["act"] = activation(self.activation)
            width = self.hidden
        if self.dropout:
            layers["dropout"] = nn.Dropout(self.dropout)
        layers["linear"] = nn.Linear(width, self.out_channels)
        return AnyRank(layers)
