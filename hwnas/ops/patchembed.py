"""Images to tokens: patches, a class token before them, and the position of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn
from torch.nn import functional

from hwnas.ops.attention import small
from hwnas.ops.operator import Operator, check_whole


@final
@dataclass(frozen=True)
class PatchEmbed(Operator):
    """(in_channels, H, W) -> (out_channels, 1 + grid * grid): a token for each patch, and the class token first.

    An image is `grid` patches of `patch` pixels high and wide.
    """

    patch: int
    grid: int

    def __post_init__(self) -> None:
        check_whole(self, patch=1, grid=1)

    def module(self) -> nn.Module:
        return Embedding(self.in_channels, self.out_channels, self.patch, self.grid)


class Embedding(nn.Module):
    """A convolution of the patch's size and stride, the class token, learned positions."""

    def __init__(self, channels: int, width: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.conv = nn.Conv2d(channels, width, patch, patch)
        self.class_token = small(width)
        self.position = small(width, 1 + grid * grid)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv(images)
        if tuple(patches.shape[2:]) != (self.grid, self.grid):
            raise ValueError(f"{' x '.join(map(str, patches.shape[2:]))} patches where `grid` is {self.grid}")
        tokens = functional.pad(patches.flatten(2).transpose(1, 2), (0, 0, 1, 0))
        first = functional.pad(self.class_token[None], (0, 0, 0, self.grid * self.grid))
        return (tokens + (self.position.transpose(0, 1) + first)).transpose(1, 2)
