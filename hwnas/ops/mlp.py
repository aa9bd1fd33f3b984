"""Dense layer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class MLP(Operator):
    """(in_channels,) -> (out_channels,): a linear layer, batch normalisation, activation.

    An input with further axes is flattened: `positions` is then the product of their lengths, such as 25 for
    (in_channels, 25). `bias` is as of `dsconv`; without `norm` there always is one.
    """

    positions: int = 1
    activation: str = "relu"
    norm: bool = True
    bias: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, positions=1)

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import FlatPositions, activation

        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=FlatPositions(self.in_channels, self.positions))
        layers["linear"] = nn.Linear(self.in_channels * self.positions, self.out_channels, self.bias or not self.norm)
        if self.norm:
            layers["norm"] = nn.BatchNorm1d(self.out_channels)
        layers["act"] = activation(self.activation)
        if self.dropout:
            layers["dropout"] = nn.Dropout(self.dropout)
        return nn.Sequential(layers)
