"""Upsampling of signals, and a convolution: a stage of a decoder."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_upsampling

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class UpConv1d(Operator):
    """(in_channels, L) -> (out_channels, scale * L): `upconv` along one axis.

    `mode` is `nearest` or `linear`.
    """

    scale: int = 2
    kernel: int = 3
    mode: str = "nearest"
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_upsampling(self)

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Upsample, conv_norm

        conv = conv_norm(self.in_channels, self.out_channels, self.kernel, act=self.activation, axes=1)
        return nn.Sequential(OrderedDict(upsample=Upsample(self.scale, self.mode), **dict(conv.named_children())))
