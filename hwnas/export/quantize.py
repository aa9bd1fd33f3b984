"""int8 and fp16: what the exporters of both formats share."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hwnas.ops import Shape

Images = NDArray[np.float32]
RANDOM_IMAGES = 4
"""Random images that stand in for calibration images: operators that are timed alone have none."""


def prepared(
    module: nn.Module,
    calibration: Images | None,
    input_shape: Shape,
    batch: int,
    within: Collection[str] | None = None,
) -> tuple[nn.Module, list[Images]]:
    """Return a copy of the module that quantises well, and the inputs to calibrate it with, in whole batches.

    `calibration` holds representative inputs (N, C, H, W); the last batch is filled up from the first of them. Without
    any, seeded standard-normal ones stand in, and the copy's normalisation statistics are recomputed on them. It is
    then good for timing only, and must be so: in a network of random weights activations vanish otherwise, and
    XNNPACK refuses the scales that follow (the smallest once-for-all network took three times as long).

    `within` are the names of the operators that are quantised, if not all are.
    """
    friendly = integer_friendly(module) if within is None else _friendly_within(module, within)
    if calibration is None:
        generator = np.random.default_rng(0)
        calibration = generator.standard_normal((max(batch, RANDOM_IMAGES), *input_shape), dtype=np.float32)
        _settle(friendly, torch.from_numpy(calibration))
    count = math.ceil(len(calibration) / batch) * batch
    filled = calibration[np.arange(count) % len(calibration)].astype(np.float32)
    return friendly, [filled[start : start + batch] for start in range(0, count, batch)]


def _settle(module: nn.Module, images: Tensor) -> None:
    norms = [
        child
        for child in module.modules()
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.track_running_stats
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average, here over one batch
        norm.train()
    if norms:
        module(images)
    for norm in norms:
        norm.eval()


def integer_friendly(module: nn.Module) -> nn.Module:
    """Return a copy whose hard swishes and sigmoids are sums and products with ReLU6, which is the same arithmetic.

    Neither runtime has a fast integer kernel for the two themselves: ONNX Runtime goes back to floats around them, and
    TFLite's own kernel made a MobileNetV3 block of 40 channels 2.9 times as slow as this form.
    """
    return integer_friendly_(copy.deepcopy(module))


def integer_friendly_(module: nn.Module) -> nn.Module:
    """Change a module in place as `integer_friendly` does, and return it, or another one if it is such an activation
    itself."""
    if isinstance(module, tuple(_FRIENDLY)):
        return _friendly(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, tuple(_FRIENDLY)):
                setattr(parent, name, _friendly(child))
    return module


def _friendly_within(module: nn.Module, names: Collection[str]) -> nn.Module:
    """Return a copy in which only the parts of these names are `integer_friendly`."""
    friendly, done = copy.deepcopy(module), list[str]()
    for path, child in list(friendly.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in names and not any(path.startswith(f"{outer}.") for outer in done):
            setattr(friendly.get_submodule(parent), name, integer_friendly(child))
            done.append(path)
    return friendly


def _friendly(module: nn.Module) -> nn.Module:
    return _FRIENDLY[type(module)]().train(module.training)


class _HardSwish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x * (1 / 6)) * functional.relu6(x + 3)  # in this order, which no converter turns back
        return out


class _HardSigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.relu6(x + 3) * (1 / 6)
        return out


_FRIENDLY: dict[type[nn.Module], type[nn.Module]] = {nn.Hardswish: _HardSwish, nn.Hardsigmoid: _HardSigmoid}
