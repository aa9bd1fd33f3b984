"""Head of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.classifier import Classifier
from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Regressor(Operator):
    """(in_channels, H, W), (in_channels, L) or (in_channels,) -> (out_channels,): numbers of any sign and size.

    The layers are those of `classifier`: global pooling, and a linear layer that ends without an activation.
    """

    features: int = 0
    hidden: int = 0
    activation: str = "relu"
    dropout: float = 0.0

    def module(self) -> nn.Module:
        return Classifier(**self.knobs).module()
