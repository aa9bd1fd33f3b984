"""Numbers of samples: one or several each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hwnas.quantities import Quantity
from hwnas.tasks.task import Agreement, Batch, Estimate, Sums, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@final
@dataclass(frozen=True)
class Regression(Task):
    """Inputs (N, ...) in float32; outputs and targets (N, outputs) in float32."""

    metrics: ClassVar[tuple[Quantity, ...]] = (Quantity("mae", "Mean absolute error", "min", ""),)

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean squared error."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, batch.targets)

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        errors = (outputs - batch.targets.to(outputs.device)).double().abs().flatten(1).mean(1)
        return Sums(len(errors), {}, {"mae": errors.cpu().numpy()})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        errors = sums.samples["mae"]
        return {"mae": Estimate(float(errors.mean()), float(errors.std() / np.sqrt(sums.count)))}

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference, and the share of samples within a hundredth of the outputs' deviation."""
        apart = np.abs(outputs - reference).reshape(len(reference), -1)
        return Agreement(float(apart.max()), float((apart <= 0.01 * reference.std()).all(1).mean()))
