"""Samples of one class each: images, signals, vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, DataError
from hwnas.quantities import QUANTITIES, Quantity
from hwnas.tasks.class_weights import ClassWeights, checked_weights, weights_of
from hwnas.tasks.confidence import class_confidences, fit_temperature
from hwnas.tasks.ends import is_plain, shape_of, specs_of
from hwnas.tasks.metrics.auroc import AUROC, auroc
from hwnas.tasks.metrics.confusion import BALANCED_ACCURACY, MACRO_F1, balanced_accuracy, macro_f1
from hwnas.tasks.metrics.estimate import Estimate, LazyEstimates, binomial_error
from hwnas.tasks.resizing import same_proportions
from hwnas.tasks.task import NO_OPTION, Agreement, Batch, Shape, Sums, Task, TensorSpec, Terms

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@final
@dataclass(frozen=True)
class Classification(Task):
    """Inputs (N, C, ...) in float32, normalised; logits (N, classes); targets (N,) whole numbers.

    Inputs of three axes are images. A task without shapes speaks of images as well.
    """

    metrics: ClassVar[tuple[Quantity, ...]] = (QUANTITIES.own["top1"], BALANCED_ACCURACY, MACRO_F1, AUROC)
    has_labels: ClassVar[bool] = True

    class_weights: ClassWeights = "none"
    """Weights of the classes in the loss."""
    weights: tuple[float, ...] = field(default=(), repr=False, metadata=NO_OPTION)
    """Weight of each class, of mean 1 over the training targets; empty before `fit`, or for none."""
    label_smoothing: float = field(default=0.0, metadata=NO_OPTION)
    """Share of a label that is spread over all classes in the loss; a training sets it."""
    taught: tuple[int, ...] = field(default=(), repr=False, metadata=NO_OPTION)
    """Classes that a teacher knows, where it does not know all of them; its other logits say nothing."""

    def __post_init__(self) -> None:
        checked_weights(self.class_weights)

    @property
    def terms(self) -> Terms:
        words = ("image", "images") if self._of_images else ("sample", "samples")
        return Terms(*words, "logits", "names PyTorch's class", agreement="Same top class")

    @property
    def _of_images(self) -> bool:
        return not self.inputs or (len(self.inputs) == 1 and len(self.inputs[0].shape) == 3)

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        return specs_of(shape, "images" if len(shape) == 3 else "input"), (TensorSpec("logits", (width,)),)

    # --- learning ---

    def fit(self, targets: Tensor) -> Self:
        """Return the task with the weights of the classes."""
        classes = self.outputs[0].shape[0] if self.outputs else self.class_count(targets)
        return replace(self, weights=weights_of(self.class_weights, targets, classes))

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy loss, a mean over samples."""
        from torch.nn.functional import cross_entropy

        if not self.weights:
            return cross_entropy(outputs, batch.targets, label_smoothing=self.label_smoothing)
        weights, smoothing = outputs.new_tensor(self.weights), self.label_smoothing
        return cross_entropy(outputs, batch.targets, weights, label_smoothing=smoothing, reduction="none").mean()

    def distill(self, outputs: Tensor, teacher_outputs: Tensor, temperature: float) -> torch.Tensor:
        """Return how far logits are from a teacher's probabilities at a temperature (Hinton et al. 2015).

        The square of the temperature keeps gradients of the size that they have at 1. Where the teacher knows some of
        the classes, probabilities are those among these (Li and Hoiem, Learning without forgetting, 2016).
        """
        from torch.nn.functional import cross_entropy

        if self.taught:
            outputs, teacher_outputs = (logits[:, list(self.taught)] for logits in (outputs, teacher_outputs))
        return cross_entropy(outputs / temperature, (teacher_outputs / temperature).softmax(1)) * temperature**2

    def smoothed(self, share: float) -> Classification:
        return replace(self, label_smoothing=share)

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return the hits together, and labels, answers and probabilities sample by sample."""
        labels, answers = batch.targets.cpu().numpy(), outputs.argmax(1).cpu().numpy()
        rows = {"labels": labels, "answers": answers, "scores": outputs.float().softmax(1).cpu().numpy()}
        return Sums(len(labels), {"top1": int((answers == labels).sum())}, rows)

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        labels, answers, scores = (sums.samples[name] for name in ("labels", "answers", "scores"))
        top1 = sums.totals["top1"] / sums.count
        return LazyEstimates(
            {
                "top1": lambda: Estimate(top1, binomial_error(top1, sums.count), (answers == labels) - top1),
                "balanced_accuracy": lambda: balanced_accuracy(labels, answers),
                "macro_f1": lambda: macro_f1(labels, answers),
                "auroc": lambda: auroc(scores, labels[:, None] == np.arange(scores.shape[1])),
            }
        )

    def standard_error(self, value: float, count: int) -> float | None:
        """Return the binomial error of an accuracy on `count` samples; None of other metrics."""
        return binomial_error(value, count) if self.quality.name == "top1" else None

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference of a logit, and the share of images of which both name the same class."""
        same = outputs.argmax(1) == reference.argmax(1)
        return Agreement(float(np.abs(outputs - reference).max()), float(same.mean()))

    # --- deferring ---

    def deferral_scores(self, outputs: NDArray[Any], temperature: float = 1.0) -> Mapping[str, NDArray[Any]]:
        """Return `max_prob`, `margin` and `entropy` of the probabilities at a temperature."""
        return class_confidences(outputs, temperature)

    def fitted_temperature(self, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
        """Return the temperature at which the labels are most likely."""
        return fit_temperature(outputs, targets)

    # --- data ---

    @property
    def augmentations(self) -> Mapping[str, Any]:
        from hwnas.tasks.augmentation import IMAGE, augmentations_of

        return super().augmentations if self.inputs else augmentations_of(IMAGE)

    def as_targets(self, targets: Tensor, shape: Shape, *, where: str) -> Tensor:
        """Return labels in int64."""
        import torch

        if targets.ndim != 1 or targets.is_floating_point() or targets.dtype == torch.bool:
            raise DataError(
                f"labels are {targets.dtype} {tuple(targets.shape)}",
                where=where,
                allowed="Labels are a list of whole numbers, one a sample, from 0 on",
                do="Check how the labels were written",
            )
        return targets.long()

    def class_count(self, targets: Tensor) -> int:
        """Return one more than the largest label."""
        return 1 + int(targets.max()) if len(targets) else 0

    def strata(self, targets: Tensor) -> Tensor:
        """Return the labels: each class has its share in each split."""
        return targets

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random labels."""
        import torch

        return torch.randint(self.outputs[0].shape[0], (count,), generator=generator)

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        if not is_plain(shape) or not is_plain(shape_of(self.inputs)):
            return super().check_data(shape, width, where=where)
        channels, classes = self.inputs[0].shape[0], self.outputs[0].shape[0]
        if len(shape) != len(self.inputs[0].shape):
            own, data = ("x".join(map(str, size)) for size in (self.inputs[0].shape, shape))
            raise ConfigError(
                f"the data has inputs of {data}, the networks take inputs of {own}",
                where=where,
                allowed="Images have three axes (channels, height, width), signals two (channels, length)",
                do="Change `input` of the space, or choose other data",
            )
        if (shape[0], width) != (channels, classes):
            raise ConfigError(
                f"the data has {shape[0]} channels and {width} classes, the space expects {channels} and {classes}",
                where=where,
                allowed="Data and space agree on channels and classes",
                do="Change `input.channels` and `classes` of the space, or the data (`channels: 1`: grey images)",
            )
        if self._of_images and not same_proportions(shape[1:], sides := self.inputs[0].shape[1:]):
            own, data = ("x".join(map(str, size)) for size in (sides, shape[1:]))
            raise ConfigError(
                f"the networks take images of {own}, the data has images of {data}",
                where=where,
                allowed="Images are resized to a network's input, and these would be stretched",
                do=f"Crop the data by `resolution: [{sides[0]}, {sides[1]}]`, or change `input` of the space",
            )
