"""Head of dense outputs: one for each pixel, or each step of a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_upsampling, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class DenseHead(Operator):
    """(in_channels, H, W) -> (out_channels, scale * H, scale * W), or the same along one axis: a linear layer at each
    place, then upsampling. `scale` is the product of all strides before it, less what was upsampled on the way.

    `features` > 0 adds a 1x1 convolution with normalisation and activation before the linear layer. `mode` is
    `nearest` or `linear`, which is bilinear on images.
    """

    scale: int = 1
    features: int = 0
    mode: str = "linear"
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_whole(self, features=0)
        check_upsampling(self)

    def module(self) -> nn.Module:
        from hwnas.ops.layers import DenseOutputs, Upsample

        upsample = Upsample(self.scale, self.mode)
        return DenseOutputs(self.in_channels, self.out_channels, self.features, self.activation, upsample)
