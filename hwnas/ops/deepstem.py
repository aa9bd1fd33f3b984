"""The stem of ResNet-D."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class DeepStem(Operator):
    """Three 3x3 convolutions, the first of stride 2, and a max pooling of stride 2 (He et al. 2019).

    The second convolution has a shortcut, so it can be left out (`residual: false`), as once-for-all does.
    """

    hidden: int
    residual: bool = True
    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, conv_norm

        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["first"] = conv_norm(self.in_channels, self.hidden, 3, stride=2, act=self.activation)
        if self.residual:
            layers["middle"] = Residual(conv_norm(self.hidden, self.hidden, 3, act=self.activation))
        layers["last"] = conv_norm(self.hidden, self.out_channels, 3, act=self.activation)
        layers["pool"] = nn.MaxPool2d(3, 2, 1)
        return nn.Sequential(layers)
