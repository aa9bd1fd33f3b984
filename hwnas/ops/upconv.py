"""Upsampling, and a convolution: a stage of a decoder."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_upsampling

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class UpConv(Operator):
    """(in_channels, H, W) -> (out_channels, scale * H, scale * W): upsampling, convolution, normalisation, activation.

    Unlike a transposed convolution it reads all places equally often (Odena et al., Deconvolution and Checkerboard
    Artifacts, 2016). `mode` is `nearest` or `linear`, which is bilinear on images.
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

        conv = conv_norm(self.in_channels, self.out_channels, self.kernel, act=self.activation)
        return nn.Sequential(OrderedDict(upsample=Upsample(self.scale, self.mode), **dict(conv.named_children())))
