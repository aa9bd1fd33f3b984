"""Images to tokens: patches, a class token before them, and the position of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


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
        from hwnas.ops.attention import Embedding

        return Embedding(self.in_channels, self.out_channels, self.patch, self.grid)
