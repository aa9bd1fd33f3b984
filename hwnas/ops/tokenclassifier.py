"""Classifier head on tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.errors import SpaceError, did_you_mean
from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn

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
        from hwnas.ops.attention import TokenHead

        return TokenHead(self.in_channels, self.out_channels, self.pool)
