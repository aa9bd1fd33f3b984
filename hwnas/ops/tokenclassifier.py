"""Classifier head on tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from hwnas.errors import SpaceError, did_you_mean
from hwnas.ops.attention import linear
from hwnas.ops.operator import Operator

POOLS = ("class", "mean")


@final
@dataclass(frozen=True)
class TokenClassifier(Operator):
    """(in_channels, tokens) -> (out_channels,): logits of `out_channels` classes, behind a normalisation.

    `pool` says of what: `class`, the first token, or `mean`, the mean of all others.
    """

    pool: str = "class"

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise SpaceError(
                f"unknown pooling `{self.pool}`",
                where="tokenclassifier: `pool`",
                allowed=did_you_mean(str(self.pool), POOLS),
                do="Use a known pooling",
            )

    def module(self) -> nn.Module:
        return TokenHead(self.in_channels, self.out_channels, self.pool)


class TokenHead(nn.Module):
    """Normalisation, pooling, a linear layer. Shape: (N, width, tokens) to (N, classes)."""

    def __init__(self, width: int, classes: int, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.LayerNorm(width)
        self.linear = linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.norm(x[:, :, 0]) if self.pool == "class" else self.norm(x.transpose(1, 2))[:, 1:].mean(1)
        out: Tensor = self.linear(pooled)
        return out
