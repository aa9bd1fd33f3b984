"""Samples with any number of labels each: several classes at once, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.quantities import Quantity
from hwnas.tasks.metrics.auroc import AUROC, auroc
from hwnas.tasks.metrics.confusion import MACRO_F1
from hwnas.tasks.metrics.estimate import Estimate, LazyEstimates, estimated, mean_of_ratios
from hwnas.tasks.task import NO_OPTION, Agreement, Batch, Shape, Sums, Task, TensorSpec, Terms, check_width

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@final
@dataclass(frozen=True)
class Multilabel(Task):
    """Inputs (N, ...) in float32; logits (N, classes), one for each label; targets (N, classes), each 0 or 1.

    A label is given where its logit is above 0.
    """

    metrics: ClassVar[tuple[Quantity, ...]] = (
        MACRO_F1,
        Quantity("micro_f1", "Micro F1", "max", "fraction"),
        Quantity("exact_match", "Exact match", "max", "fraction"),
        AUROC,
    )
    has_labels: ClassVar[bool] = True

    label_smoothing: float = field(default=0.0, metadata=NO_OPTION)
    """Share by which targets are drawn towards one half in the loss; a training sets it."""

    @property
    def terms(self) -> Terms:
        return Terms(*super().terms[:2], "logits", "gives PyTorch's answer", "labels", "Same labels")

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        return super().specs(shape, width)[0], (TensorSpec("logits", (width,)),)

    # --- learning ---

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the binary cross-entropy, a mean over samples and labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        wanted = batch.targets.to(outputs.dtype)
        return binary_cross_entropy_with_logits(outputs, wanted.lerp(wanted.new_tensor(0.5), self.label_smoothing))

    def distill(self, outputs: Tensor, teacher_outputs: Tensor, temperature: float) -> torch.Tensor:
        """Return the binary cross-entropy against a teacher's probabilities at a temperature."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        soft = (teacher_outputs / temperature).sigmoid()
        return binary_cross_entropy_with_logits(outputs / temperature, soft) * temperature**2

    def smoothed(self, share: float) -> Multilabel:
        return replace(self, label_smoothing=share)

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return scores and targets, sample by sample."""
        targets = batch.targets.bool().cpu().numpy()
        return Sums(len(targets), {}, {"scores": outputs.float().cpu().numpy(), "targets": targets})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        scores, targets = sums.samples["scores"], sums.samples["targets"]
        answers = scores > 0
        both, sizes = 2.0 * (answers & targets), answers.astype(float) + targets
        exact = (answers == targets).all(1)
        together = both.sum(1, keepdims=True), sizes.sum(1, keepdims=True)
        return LazyEstimates(
            {
                "macro_f1": lambda: mean_of_ratios(both, sizes),
                "micro_f1": lambda: mean_of_ratios(*together),
                "exact_match": lambda: estimated(exact.mean(), exact - exact.mean()),
                "auroc": lambda: auroc(scores, targets),
            }
        )

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference of a logit, and the share of labels that both give or both leave out."""
        same = (outputs > 0) == (reference > 0)
        return Agreement(float(np.abs(outputs - reference).max()), float(same.mean()))

    # --- data ---

    def as_targets(self, targets: Tensor, shape: Shape, *, where: str) -> Tensor:
        if targets.ndim != 2 or not bool(((targets == 0) | (targets == 1)).all()):
            bad = "" if targets.ndim != 2 else f", {targets[(targets != 0) & (targets != 1)][0].item():g} among them"
            raise DataError(
                f"targets are {tuple(targets.shape)}{bad}",
                where=where,
                allowed="Each sample has one number for each label, (samples, labels): 1 where it has it, 0 elsewhere",
                do="Correct the targets; samples of one label each are `task: classification`",
            )
        return targets.bool()

    def check_targets(self, training: Tensor, validation: Tensor, *, where: str) -> None:
        check_width(training, self.outputs[0].shape, where=where)

    def class_count(self, targets: Tensor) -> int:
        """Return the number of labels."""
        return int(targets.shape[1])

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random labels."""
        import torch

        return torch.rand(count, self.outputs[0].shape[0], generator=generator) < 0.5
