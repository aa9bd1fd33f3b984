"""Integer grids: per tensor for activations, per output channel for weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 255
"""Steps between the smallest and the largest number of eight bits."""
LARGEST_WEIGHT = 127
"""Weights are symmetric: -128 is not used."""
SMALLEST_SCALE = 1e-30
"""Scale of a tensor that is 0 everywhere."""


@dataclass(frozen=True)
class Grid:
    """Numbers that a quantised activation can take: eight bits over a range that holds 0.

    Unsigned and signed activations have the same grid; their integers differ by 128.
    """

    scale: float
    zero_point: int
    """Integer of 0, of 0 to 255."""

    @classmethod
    def over(cls, low: float, high: float) -> Grid:
        """Return the grid over a range, as both writers choose it: 0 is among its numbers."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / LEVELS, SMALLEST_SCALE)
        return cls(scale, round(-low / scale))

    def round_(self, x: Tensor) -> Tensor:
        """Round a tensor to the grid in place."""
        return x.mul_(1 / self.scale).round_().clamp_(-self.zero_point, LEVELS - self.zero_point).mul_(self.scale)

    def rounded(self, x: Tensor) -> Tensor:
        """Return the nearest numbers of the grid; gradients pass straight through where the range is held."""
        held = x.clamp(-self.zero_point * self.scale, (LEVELS - self.zero_point) * self.scale)
        return held + (self.round_(held.detach().clone()) - held.detach())


def rounded_weight(weight: Tensor, axis: int = 0) -> Tensor:
    """Return a weight on its integer grid: symmetric, with a scale for each output channel. Gradients pass through.

    Args:
        weight: of a convolution or a linear layer.
        axis: its axis of output channels.
    """
    others = [number for number in range(weight.ndim) if number != axis]
    plain = weight.detach()
    largest = plain.abs().amax(dim=others, keepdim=True) if others else plain.abs()
    scale = (largest / LARGEST_WEIGHT).clamp_min(SMALLEST_SCALE)
    rounded = torch.round(plain / scale).clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT) * scale
    return weight + (rounded - plain) if weight.requires_grad and torch.is_grad_enabled() else rounded
