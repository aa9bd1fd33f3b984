"""Modules that take several tensors, or give several."""

from __future__ import annotations

from collections.abc import Sequence
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


@final
class NamedOutputs(nn.Module):
    """A module with names for its outputs, which files that hold names get."""

    def __init__(self, body: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.body, self.names = body, tuple(names)

    def forward(self, *inputs: Tensor) -> Any:
        return self.body(*inputs)
