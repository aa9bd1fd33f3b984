"""Inputs that are reconstructed, so that abnormal ones stand out by their error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.quantities import Quantity
from hwnas.tasks.ends import specs_of
from hwnas.tasks.metrics.auroc import AUROC, auroc
from hwnas.tasks.metrics.estimate import Estimate, LazyEstimates, estimated
from hwnas.tasks.task import ANSWER_TOLERANCE, Agreement, Batch, Shape, Sums, Task, TensorSpec, Terms

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@final
@dataclass(frozen=True)
class Reconstruction(Task):
    """Inputs (N, ...) in float32; outputs of the same shape; targets (N,) labels, of which one stands for normal.

    Networks learn from normal samples. The score of an anomaly is the mean squared error of the normalised input.
    """

    metrics: ClassVar[tuple[Quantity, ...]] = (
        Quantity("reconstruction_error", "Reconstruction error", "min", ""),
        AUROC,
    )

    normal: int = 0
    """Label of normal samples; all others are abnormal."""

    @property
    def terms(self) -> Terms:
        same = f"is within {ANSWER_TOLERANCE:.0%} of PyTorch's"
        return Terms(*super().terms[:2], "reconstructions", same, agreement="Within tolerance")

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        return super().specs(shape, width)[0], (TensorSpec("reconstruction", specs_of(shape)[0].shape),)

    # --- learning ---

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean squared error of the inputs."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, self.fitted(batch.inputs, tuple(outputs.shape[1:])))

    def distill(self, outputs: Tensor, teacher_outputs: Tensor, temperature: float) -> torch.Tensor:
        """Return the mean squared difference from a teacher's reconstruction, resized to the outputs' shape."""
        return super().distill(outputs, self.fitted(teacher_outputs, tuple(outputs.shape[1:])), temperature)

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return the error of each sample, and which are abnormal."""
        wanted = self.fitted(batch.inputs.to(outputs.device), tuple(outputs.shape[1:]))
        errors = (outputs - wanted).double().square().flatten(1).mean(1)
        abnormal = (batch.targets != self.normal).cpu().numpy()
        return Sums(len(outputs), {}, {"errors": errors.cpu().numpy(), "abnormal": abnormal})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        errors, abnormal = sums.samples["errors"], sums.samples["abnormal"]
        return LazyEstimates(
            {
                "reconstruction_error": lambda: _of_normal(errors, ~abnormal),
                "auroc": lambda: auroc(errors, abnormal),
            }
        )

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference, and the share of samples with a small error relative to the reference."""
        rows, apart = (part.reshape(len(part), -1) for part in (reference, outputs - reference))
        sizes = np.sqrt(np.square(rows).mean(1))
        share = float((np.sqrt(np.square(apart).mean(1)) <= ANSWER_TOLERANCE * sizes).mean())
        return Agreement(float(np.abs(apart).max()), share, float(np.sqrt(np.square(rows).mean())))

    # --- data ---

    def as_targets(self, targets: Tensor, shape: Shape, *, where: str) -> Tensor:
        if targets.ndim != 1 or targets.is_floating_point():
            raise DataError(
                f"targets are {targets.dtype} {tuple(targets.shape)}",
                where=where,
                allowed=f"Each sample has a label, (samples,) whole numbers; {self.normal} stands for normal",
                do="Correct the labels",
            )
        return targets.long()

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random labels."""
        import torch

        return self.normal + (torch.rand(count, generator=generator) < 0.5).long()

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        self.check_one_input(where=where)
        super().check_data(shape, self.outputs[0].shape[0], where=where)

    def check_targets(self, training: Tensor, validation: Tensor, *, where: str) -> None:
        if abnormal := int((training != self.normal).sum()):
            raise DataError(
                f"{abnormal} of {len(training)} samples for training are abnormal",
                where=where,
                allowed=f"Networks learn from normal samples, whose label is {self.normal}",
                do="Leave abnormal samples to a `test` split, or name the label of normal ones as `normal` of the task",
            )
        if self.quality.name == AUROC.name and (validation != self.normal).float().mean() in (0, 1):
            raise DataError(
                "`auroc` is undefined on the validation samples, which are all alike",
                where=where,
                allowed="It needs labelled samples of both kinds, normal and abnormal",
                do="Bring a `validation` split with both, or search by `reconstruction_error`",
            )


def _of_normal(errors: NDArray[Any], normal: NDArray[Any]) -> Estimate | None:
    """Return the mean error of normal samples; None if there are none."""
    if not normal.any():
        return None
    mean = errors[normal].mean()
    return estimated(mean, np.where(normal, (errors - mean) * len(errors) / normal.sum(), 0.0))
