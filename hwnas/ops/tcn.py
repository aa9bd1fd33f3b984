"""Residual block of dilated convolutions along time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class TCN(Operator):
    """(in_channels, L) -> (out_channels, L): two convolutions of one dilation beside a shortcut (Bai et al., An
    Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018).

    Batch normalisation takes the place of weight normalisation. With `causal` a step sees itself and what came before
    it, as in the source; otherwise as much of both sides. The shortcut projects where the width changes.
    """

    kernel: int = 3
    dilation: int = 1
    causal: bool = False
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, kernel=1, dilation=1)

    def module(self) -> nn.Module:
        from torch import nn

        from hwnas.ops.layers import Residual, conv_norm, normalized

        beyond = (self.kernel - 1) * self.dilation
        before = beyond if self.causal else beyond // 2
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for name, width in (("first", self.in_channels), ("second", self.out_channels)):
            if 2 * before != beyond:
                layers[f"{name}_pad"] = nn.ConstantPad1d((before, beyond - before), 0.0)
            padding = before if 2 * before == beyond else 0
            conv = nn.Conv1d(width, self.out_channels, self.kernel, 1, padding, self.dilation, bias=False)
            layers[name] = normalized(conv, self.activation if name == "first" else "none")
            if self.dropout:
                layers[f"{name}_dropout"] = nn.Dropout(self.dropout)
        same = self.in_channels == self.out_channels
        shortcut = None if same else conv_norm(self.in_channels, self.out_channels, axes=1)
        return Residual(nn.Sequential(layers), shortcut, self.activation)
