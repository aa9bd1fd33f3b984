"""Convolution with a kernel that need not be square."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Conv2d(Operator):
    """(in_channels, H, W) -> (out_channels, ceil(H / stride), ceil(W / stride)): `conv` with a kernel of two sizes.

    It may be a rectangle, such as time by frequency of a spectrogram, and even: the odd row of padding is then at the
    end. `bias` is as of `dsconv`.
    """

    kernel_height: int
    kernel_width: int
    stride: int = 1
    activation: str = "relu"
    bias: bool = False

    def __post_init__(self) -> None:
        check_whole(self, kernel_height=1, kernel_width=1, stride=1)

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import normalized

        kernel = self.kernel_height, self.kernel_width
        padding = (self.kernel_height - 1) // 2, (self.kernel_width - 1) // 2
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if self.kernel_height % 2 == 0 or self.kernel_width % 2 == 0:
            layers["pad"] = nn.ZeroPad2d((0, 1 - self.kernel_width % 2, 0, 1 - self.kernel_height % 2))
        conv = nn.Conv2d(self.in_channels, self.out_channels, kernel, self.stride, padding, bias=self.bias)
        layers |= normalized(conv, self.activation).named_children()
        return nn.Sequential(layers)
