"""Images, each of one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError
from hwnas.quantities import QUANTITIES, Quantity
from hwnas.tasks.confidence import class_confidences, fit_temperature
from hwnas.tasks.task import Agreement, Batch, Estimate, Shape, Sums, Task, TensorSpec, Terms, binomial_error

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.tasks.image_augmentation import Augmentation


@final
@dataclass(frozen=True)
class ImageClassification(Task):
    """Square images (N, C, H, W) in float32, normalised; logits (N, classes); targets (N,) whole numbers."""

    input_keys: ClassVar[tuple[str, ...]] = ("channels", "resolution")
    elastic: ClassVar[tuple[str, ...]] = ("resolution",)
    width_key: ClassVar[str] = "classes"
    metrics: ClassVar[tuple[Quantity, ...]] = (QUANTITIES.own["top1"],)
    terms: ClassVar[Terms] = Terms("image", "images", "logits", "names PyTorch's class")

    label_smoothing: float = 0.0
    """Share of a label that is spread over all classes in the loss."""

    def shape(self, sizes: Mapping[str, int]) -> Shape:
        if "resolution" not in sizes:
            return super().shape(sizes)
        return sizes["channels"], sizes["resolution"], sizes["resolution"]

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        return (TensorSpec("images", shape),), (TensorSpec("logits", (width,)),)

    # --- learning ---

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy loss."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, batch.targets, label_smoothing=self.label_smoothing)

    def distill(self, outputs: Tensor, teacher_outputs: Tensor, temperature: float) -> torch.Tensor:
        """Return how far logits are from a teacher's probabilities at a temperature (Hinton et al. 2015).

        The square of the temperature keeps gradients of the size that they have at 1.
        """
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs / temperature, (teacher_outputs / temperature).softmax(1)) * temperature**2

    def smoothed(self, share: float) -> ImageClassification:
        return replace(self, label_smoothing=share)

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return the hits, image by image and together."""
        hits = (outputs.argmax(1) == batch.targets.to(outputs.device)).cpu().numpy()
        return Sums(len(hits), {"top1": int(hits.sum())}, {"top1": hits})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        top1 = sums.totals["top1"] / sums.count
        return {"top1": Estimate(top1, self.standard_error(top1, sums.count))}

    def standard_error(self, value: float, count: int) -> float:
        """Return the binomial error of an accuracy on `count` images."""
        return binomial_error(value, count)

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

    def fitted(self, inputs: Tensor, shape: Shape) -> Tensor:
        """Return the images, resized bilinearly if the network's resolution is another one."""
        size = shape[1:]
        if tuple(inputs.shape[-len(size) :]) == size:
            return inputs
        from torch.nn.functional import interpolate

        return interpolate(inputs, size=size, mode="bilinear", antialias=True, align_corners=False)

    @property
    def augmentations(self) -> Mapping[str, Augmentation]:
        from hwnas.tasks.image_augmentation import AUGMENTATIONS

        return AUGMENTATIONS

    def augment(self, inputs: Tensor, generator: torch.Generator, kind: str) -> Tensor:
        from hwnas.tasks.image_augmentation import augment

        return augment(inputs, generator, kind)

    def strata(self, targets: Tensor) -> Tensor:
        """Return the labels: each class has its share in each split."""
        return targets

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random labels."""
        import torch

        return torch.randint(self.outputs[0].shape[0], (count,), generator=generator)

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        channels, classes = self.inputs[0].shape[0], self.outputs[0].shape[0]
        if (shape[0], width) != (channels, classes):
            raise ConfigError(
                f"the data has {shape[0]} channels and {width} classes, the space expects {channels} and {classes}",
                where=where,
                allowed="Data and space agree on channels and classes",
                do="Change `input.channels` and `classes` of the space, or choose other data",
            )
        if len(set(sides := self.inputs[0].shape[1:])) > 1:
            own, data = ("x".join(map(str, size)) for size in (sides, shape[1:]))
            raise ConfigError(
                f"the networks take images of {own}, the data has images of {data}",
                where=where,
                allowed="Data sets are square, and a square image would be stretched",
                do="Give the networks a square input",
            )
