"""Which side of its kink each activation is on: the binary code of a unit for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
KINKED = frozenset(
    getattr(_ATEN, f"{name}{in_place}").default
    for name in ("relu", "hardtanh", "hardswish", "silu", "leaky_relu", "elu", "gelu")
    for in_place in ("", "_")
)
"""Operators that compute an activation, as a module or as a function; ReLU6 is a hardtanh."""


@dataclass
class Code:
    """Code of one activation that is computed: for each image and unit, whether the input is positive."""

    positive: Tensor
    """(images, units) bool."""
    readers: int = 0
    """Number of convolutions that take its output unchanged."""


class _Codes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = list[Code]()
        self._given = dict[int, tuple[Tensor, Code]]()  # by the tensor's id, and the tensor with it, so that it lives

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        code = Code((args[0] > 0).flatten(1)) if func in KINKED else None
        if func is _ATEN.convolution.default and id(args[0]) in self._given:
            self._given[id(args[0])][1].readers += 1
        output = func(*args, **(kwargs or {}))
        if code is not None:
            self.found.append(code)
            self._given[id(output)] = output, code
        return output


def codes(module: nn.Module, images: Tensor) -> list[Code]:
    """Return the codes of all activations that are computed, in order."""
    seen = _Codes()
    with torch.no_grad(), seen:
        module(images)
    return seen.found
