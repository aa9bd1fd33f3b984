"""A chain of modules whose first one takes several tensors."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn


@final
class SeveralInputs(nn.Sequential):
    """A sequence whose first module takes all inputs, each as an argument."""

    def forward(self, *inputs: Tensor) -> Any:
        first, *others = self
        passed = first(*inputs)
        for module in others:
            passed = module(passed)
        return passed
