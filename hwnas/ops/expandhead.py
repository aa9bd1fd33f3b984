"""Classifier head whose last convolution is as wide as its input asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.classifier import Classifier
from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class ExpandHead(Operator):
    """(in_channels, H, W) -> (out_channels,): `classifier` with `features` = `in_channels * expand` (AttentiveNAS)."""

    expand: int
    hidden: int = 0
    activation: str = "relu"
    dropout: float = 0.0

    def module(self) -> nn.Module:
        features = self.in_channels * self.expand
        head = Classifier(self.in_channels, self.out_channels, features, self.hidden, self.activation, self.dropout)
        return head.module()
