"""FLOPs as torchstat counts them: those that go with NAS-Bench-201 in NASLib's tables.

A multiply-add is 1; a normalisation 2 for each element, a ReLU 1, a pooling its kernel for each output. A pooling to
one pixel counts a row and a column more than it has, as the original does. Sums are free.
Source: Swall0w/torchstat as changed in microsoft/tensorwatch, `torchstat/compute_flops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hwnas.ops.operator import Shape

_aten = torch.ops.aten


def _elements(args: Any, out: Tensor) -> int:
    return out.numel()


def _kernel(args: Any, out: Tensor) -> int:
    height, width = args[1]
    return out.numel() * int(height) * int(width)


def _whole_image(args: Any, out: Tensor) -> int:
    height, width = args[0].shape[-2:]
    return out.numel() * (int(height) + 1) * (int(width) + 1)


_FLOPS: Mapping[Any, Callable[[Any, Tensor], int]] = {
    _aten._native_batch_norm_legit_no_training: lambda args, out: 2 * out.numel(),
    _aten.native_batch_norm: lambda args, out: 2 * out.numel(),
    _aten.relu: _elements,
    _aten.avg_pool2d: _kernel,
    _aten.mean: _whole_image,
    _aten._adaptive_avg_pool2d: _whole_image,
}


class _Elementwise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of the FLOPs of operations that are not multiply-adds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := _FLOPS.get(func.overloadpacket)) is not None:
            self.flops += count(args, out[0] if isinstance(out, tuple) else out)
        return out


def torchstat_flops(module: nn.Module, input_shape: Shape) -> int:
    """FLOPs of one image through convolutions, linear layers, normalisations, ReLUs and average poolings."""
    module = module.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as multiply_adds, _Elementwise() as rest:
        module(torch.empty(1, *input_shape, device="meta"))
    total: int = multiply_adds.get_total_flops() // 2 + rest.flops
    return total
