"""Images with a class for each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.quantities import Quantity
from hwnas.tasks.class_weights import ClassWeights, checked_weights, weights_of
from hwnas.tasks.ends import specs_of
from hwnas.tasks.metrics.estimate import Estimate, LazyEstimates, mean_of_ratios
from hwnas.tasks.task import NO_OPTION, Agreement, Batch, Shape, Sums, Task, TensorSpec, Terms

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@final
@dataclass(frozen=True)
class Segmentation(Task):
    """Images (N, C, H, W) in float32; logits (N, classes, h, w); targets (N, H, W) whole numbers.

    Logits of another size than the targets are resized bilinearly before they are judged. Signals (N, C, L) have
    targets (N, L).
    """

    metrics: ClassVar[tuple[Quantity, ...]] = (
        Quantity("miou", "Mean IoU", "max", "fraction"),
        Quantity("pixel_accuracy", "Pixel accuracy", "max", "fraction"),
    )
    has_labels: ClassVar[bool] = True

    ignore_index: int = 255
    """Target of pixels that are neither learned nor judged."""
    class_weights: ClassWeights = "none"
    weights: tuple[float, ...] = field(default=(), repr=False, metadata=NO_OPTION)
    """Weight of each class in the loss, of mean 1 over the training targets; empty before `fit`, or for none."""
    label_smoothing: float = field(default=0.0, metadata=NO_OPTION)
    """Share of a label that is spread over all classes in the loss; a training sets it."""

    def __post_init__(self) -> None:
        checked_weights(self.class_weights)

    @property
    def terms(self) -> Terms:
        return Terms("image", "images", "logits", "names PyTorch's class", "pixels", "Same class, pixels")

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        return super().specs(shape, width)[0], (TensorSpec("logits", (width, *specs_of(shape)[0].shape[1:])),)

    # --- learning ---

    def fit(self, targets: Tensor) -> Self:
        """Return the task with the weights of the classes."""
        classes = self.outputs[0].shape[0] if self.outputs else self.class_count(targets)
        kept = targets[targets != self.ignore_index]
        return replace(self, weights=weights_of(self.class_weights, kept, classes))

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy: the mean over an image's pixels that are not ignored, then over images."""
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(
            _sized(outputs, batch.targets),
            batch.targets,
            weight=outputs.new_tensor(self.weights) if self.weights else None,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        seen = (batch.targets != self.ignore_index).flatten(1).sum(1).clamp_min(1)
        mean: Tensor = (losses.flatten(1).sum(1) / seen).mean()
        return mean

    def distill(self, outputs: Tensor, teacher_outputs: Tensor, temperature: float) -> torch.Tensor:
        """Return the cross-entropy against a teacher's probabilities at a temperature, a mean over pixels."""
        from torch.nn.functional import cross_entropy

        soft = (_sized(teacher_outputs, outputs[:, 0]) / temperature).softmax(1)
        return cross_entropy(outputs / temperature, soft) * temperature**2

    def smoothed(self, share: float) -> Segmentation:
        return replace(self, label_smoothing=share)

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return the pixels of each image and class: true positives, and those of the class in targets and answers."""
        import torch

        count, classes, targets = len(outputs), outputs.shape[1], batch.targets.cpu()
        answers = _sized(outputs, targets).argmax(1).cpu()
        images = torch.arange(count).reshape(-1, *(1 for _ in targets.shape[1:])).expand_as(targets)
        cells = ((images * classes + targets) * classes + answers)[targets != self.ignore_index]
        pixels = torch.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes).double()
        counts = {"hits": pixels.diagonal(dim1=1, dim2=2), "targets": pixels.sum(2), "answers": pixels.sum(1)}
        return Sums(count, {}, {name: values.numpy() for name, values in counts.items()})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        hits, targets, answers = (sums.samples[name] for name in ("hits", "targets", "answers"))
        together = hits.sum(1, keepdims=True), targets.sum(1, keepdims=True)
        return LazyEstimates(
            {
                "miou": lambda: mean_of_ratios(hits, targets + answers - hits),
                "pixel_accuracy": lambda: mean_of_ratios(*together),
            }
        )

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference of a logit, and the share of pixels of which both name the same class."""
        same = outputs.argmax(1) == reference.argmax(1)
        return Agreement(float(np.abs(outputs - reference).max()), float(same.mean()))

    # --- data ---

    @property
    def augmentations(self) -> Mapping[str, Any]:
        """Those that move nothing: a target is at the place of its input."""
        from hwnas.tasks.augmentation import augmentations_of

        return augmentations_of(len(self.inputs[0].shape) if self.inputs else 0, moving=False)

    def as_targets(self, targets: Tensor, shape: Shape, *, where: str) -> Tensor:
        if tuple(targets.shape[1:]) != shape[1:] or targets.is_floating_point():
            raise DataError(
                f"targets are {targets.dtype} {tuple(targets.shape)}, inputs of shape {shape}",
                where=where,
                allowed="Each pixel has a whole number, the label of its class: (samples, height, width)",
                do="Correct the targets; images of one class each are `task: classification`",
            )
        labels = targets.long()
        if bool((bad := (labels < 0) & (labels != self.ignore_index)).any()):
            raise DataError(
                f"label {int(labels[bad][0])} is out of range",
                where=where,
                allowed=f"Labels are 0 to the number of classes less one, or {self.ignore_index} for pixels left out",
                do="Correct the targets, or name their value for such pixels as `ignore_index` of the task",
            )
        return labels

    def class_count(self, targets: Tensor) -> int:
        """Return one more than the largest label that is not left out."""
        seen = targets[targets != self.ignore_index]
        return 1 + int(seen.max()) if len(seen) else 0

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random labels."""
        import torch

        classes, *size = self.outputs[0].shape
        return torch.randint(classes, (count, *size), generator=generator)

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        self.check_one_input(where=where)
        classes = self.outputs[0].shape[0]  # of which the data may lack the last ones
        super().check_data(shape, max(width, classes), where=where)


def _sized(outputs: Tensor, like: Tensor) -> Tensor:
    """Return outputs (N, C, ...) resized to the size of (N, ...)."""
    size = tuple(like.shape[1:])
    if tuple(outputs.shape[2:]) == size:
        return outputs
    from torch.nn.functional import interpolate

    return interpolate(outputs, size=size, mode="bilinear" if len(size) == 2 else "linear", align_corners=False)
