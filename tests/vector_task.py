"""A task that is none of hwnas's own, regression on vectors, with the operators and the data that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from hwnas import Operator
from hwnas.quantities import Quantity
from hwnas.tasks import Agreement, Batch, Estimate, Sums, Task


@final
@dataclass(frozen=True)
class VectorRegression(Task):
    """Numbers (N, width) from inputs of any shape."""

    metrics: ClassVar[tuple[Quantity, ...]] = (
        Quantity("abs_error", "Mean absolute error", "min", "K"),
        Quantity("rms_error", "Root mean square error", "min", "K"),
    )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return mse_loss(outputs, batch.targets)

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        errors = (outputs - batch.targets.to(outputs.device)).double().cpu()
        absolute = errors.abs().mean(1).numpy()
        return Sums(len(errors), {"squares": float(errors.square().mean(1).sum())}, {"abs_error": absolute})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        absolute = sums.samples["abs_error"]
        mae = Estimate(float(absolute.mean()), float(absolute.std() / np.sqrt(sums.count)))
        return {"abs_error": mae, "rms_error": Estimate(float(np.sqrt(sums.totals["squares"] / sums.count)))}

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        apart = np.abs(outputs - reference)
        return Agreement(float(apart.max()), float((apart <= 0.05 * reference.std()).all(1).mean()))


@final
@dataclass(frozen=True)
class Dense(Operator):
    """A linear layer, normalisation and an activation."""

    def module(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(self.in_channels, self.out_channels), nn.BatchNorm1d(self.out_channels), nn.ReLU()
        )


def load() -> dict[str, Any]:
    """Return 400 vectors of 5 numbers, with two targets each that follow from them."""
    inputs = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    return {"train": (inputs.numpy(), torch.stack([inputs[:, 0] * 2, inputs[:, 1:].sum(1)], 1).numpy())}
