"""Recurrent layer whose gates look at the input alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.ops.layers import conv_norm
from hwnas.ops.operator import Operator


@final
@dataclass(frozen=True)
class MinGRU(Operator):
    """(in_channels, L) -> (out_channels, L): the state h[t] = (1 - z[t]) h[t - 1] + z[t] c[t], which begins at zero.

    The gate z is the sigmoid of a linear layer of x[t], the candidate c another linear layer of it, here normalised
    (Feng et al., Were RNNs All We Needed?, 2024). No gate waits for the state, so all steps are computed at once: in
    ceil(log2 L) rounds of products and sums.
    """

    def module(self) -> nn.Module:
        return _Recurrence(self.in_channels, self.out_channels)


class _Recurrence(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Conv1d(inputs, width, 1)
        self.candidate = conv_norm(inputs, width, axes=1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return scan(gate * -1 + 1, gate * self.candidate(x))  # a difference would have no integer kernel


def scan(keep: Tensor, add: Tensor) -> Tensor:
    """Return h of h[t] = keep[t] h[t - 1] + add[t] along the last axis, where h[-1] is 0 (Hillis and Steele 1986).

    After each round a step holds the sum over twice as many steps up to it.
    """
    length, reach = add.shape[-1], 1
    while reach < length:
        add = add + keep * functional.pad(add[..., :-reach], (reach, 0))
        reach *= 2
        if reach < length:
            keep = keep * functional.pad(keep[..., : -(reach // 2)], (reach // 2, 0))
    return add
