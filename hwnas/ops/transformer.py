"""Transformer encoder layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.errors import SpaceError
from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Transformer(Operator):
    """(width, tokens) -> (width, tokens): attention, then two linear layers, each behind a normalisation and beside a
    shortcut (ViT, Dosovitskiy et al. 2021).

    A head is `head_width` wide; 0 divides the width by the heads. The hidden width is `mlp_ratio` times the width.
    `relative` above 0 adds AutoFormer's relative position of keys and values, up to that distance; the first token is
    then the class token, and the others are a square of patches.
    """

    heads: int
    mlp_ratio: float = 4.0
    head_width: int = 64
    relative: int = 0
    activation: str = "gelu"

    def __post_init__(self) -> None:
        if self.in_channels != self.out_channels:
            raise SpaceError(
                f"width {self.out_channels} comes after width {self.in_channels}",
                where="transformer: `width`",
                allowed="A transformer layer keeps the width of its tokens",
                do="Give all stages from the embedding on one width, such as a shared choice: `width: $NAME`",
            )
        check_whole(self, heads=1, head_width=0, relative=0)
        ratio = self.knobs["mlp_ratio"]
        if not isinstance(ratio, int | float) or int(self.out_channels * ratio) < 1:
            raise SpaceError(
                f"`mlp_ratio` is {ratio!r}",
                where="transformer",
                allowed="`mlp_ratio` times the width is at least 1",
                do="Correct it",
            )
        if not self.head_width and self.out_channels % self.heads:
            raise SpaceError(
                f"width {self.out_channels} is not divisible by {self.heads} heads",
                where="transformer: `heads`",
                allowed="With `head_width: 0` all heads together are as wide as the tokens",
                do="Use widths that are multiples of every number of heads, or set `head_width`",
            )

    def module(self) -> nn.Module:
        from hwnas.ops.attention import Attention, EncoderLayer, linear
        from hwnas.ops.layers import activation

        width, hidden = self.out_channels, int(self.out_channels * self.mlp_ratio)
        return EncoderLayer(
            Attention(width, self.heads, self.head_width or width // self.heads, self.relative),
            linear(width, hidden),
            activation(self.activation),
            linear(hidden, width),
        )
