"""Head of dense outputs: one for each pixel, or each step of a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from hwnas.ops.layers import Upsample, as_image, check_upsampling, conv_norm
from hwnas.ops.operator import Operator, check_whole


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
        return _Dense(self)


class _Dense(nn.Module):
    def __init__(self, operator: DenseHead) -> None:
        super().__init__()
        width = operator.features or operator.in_channels
        if operator.features:
            self.features = conv_norm(operator.in_channels, width, act=operator.activation)
        self.linear = nn.Conv2d(width, operator.out_channels, 1)
        self.upsample = Upsample(operator.scale, operator.mode)

    def forward(self, x: Tensor) -> Tensor:
        image = as_image(x)
        if hasattr(self, "features"):
            image = self.features(image)
        outputs = self.linear(image)
        for _ in range(4 - x.ndim):
            outputs = outputs.squeeze(-1)
        out: Tensor = self.upsample(outputs)
        return out
