"""Inverted residual block of FBNet."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class FBConv(Operator):
    """1x1 convolution, depthwise kernel, 1x1 convolution (Wu et al. 2019); a shortcut at stride 1 and equal widths.

    Unlike `mbconv`, expansion 1 keeps the first convolution. With `groups` above 1 both 1x1 convolutions are grouped
    and the channels are shuffled after the first; grouped weights are not shared with ungrouped ones.
    """

    kernel: int
    expand: int
    stride: int = 1
    groups: int = 1
    activation: str = "relu"

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, Shuffle, conv_norm

        hidden, act = self.in_channels * self.expand, self.activation
        prefix = "group_" if self.groups > 1 else ""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers[f"{prefix}expand"] = conv_norm(self.in_channels, hidden, groups=self.groups, act=act)
        if self.groups > 1:
            layers["shuffle"] = Shuffle(self.groups)
        layers["depth"] = conv_norm(hidden, hidden, self.kernel, stride=self.stride, groups=hidden, act=act)
        layers[f"{prefix}project"] = conv_norm(hidden, self.out_channels, groups=self.groups)
        body = nn.Sequential(layers)
        same = self.stride == 1 and self.in_channels == self.out_channels
        return Residual(body) if same else nn.Sequential(OrderedDict(body=body))
