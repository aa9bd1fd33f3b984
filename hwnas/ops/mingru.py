"""Recurrent layer whose gates look at the input alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class MinGRU(Operator):
    """(in_channels, L) -> (out_channels, L): the state h[t] = (1 - z[t]) h[t - 1] + z[t] c[t], which begins at zero.

    The gate z is the sigmoid of a linear layer of x[t], the candidate c another linear layer of it, here normalised
    (Feng et al., Were RNNs All We Needed?, 2024). No gate waits for the state, so all steps are computed at once: in
    ceil(log2 L) rounds of products and sums.
    """

    def module(self) -> nn.Module:
        from hwnas.ops.layers import Recurrence

        return Recurrence(self.in_channels, self.out_channels)
