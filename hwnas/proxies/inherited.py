"""Accuracy that a network inherits from the supernet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

from torch import Tensor

from hwnas.data import Split
from hwnas.network import Network
from hwnas.proxies.source import Ingredients
from hwnas.space import Architecture
from hwnas.supernet import Supernet, accuracy, calibration_images, settled


@final
@dataclass(frozen=True)
class InheritedAccuracy:
    """Top-1 accuracy, 0 to 1, of a sub-network with the supernet's weights and recalibrated statistics.

    Nothing is trained; the same architecture always gets the same score (Cai et al., Once-for-All, 2020).

    Args:
        lower: architecture -> network.
        calibration: batches of training images from which the normalisation statistics are recomputed.
        split: the images that are classified, never test images.
        weights: what identifies the supernet's weights, such as the checkpoint's hash.
    """

    supernet: Supernet
    lower: Callable[[Architecture], Network]
    calibration: tuple[Tensor, ...]
    split: Split
    weights: str

    def __call__(self, architecture: Architecture) -> float:
        network = self.lower(architecture)
        return accuracy(settled(self.supernet, network, self.calibration), network, self.split)

    @cached_property
    def producer(self) -> str:
        """What a stored score was made by: equal producers give equal scores."""
        seen = hashlib.sha256(b"".join(batch.numpy().tobytes() for batch in self.calibration)).hexdigest()[:8]
        return f"inherited weights={self.weights} calibration={len(self.calibration)}x:{seen} images={len(self.split)}"


def inherited(ingredients: Ingredients) -> InheritedAccuracy:
    """The accuracy of a run's sub-networks, on its validation images."""
    settings, dataset = ingredients.settings, ingredients.dataset()
    supernet, weights = ingredients.supernet()
    calibration = calibration_images(
        dataset, count=settings.calibration_batches, batch_size=settings.batch_size, seed=ingredients.seed
    )
    split = dataset.validation if settings.images is None else dataset.validation.first(settings.images)
    return InheritedAccuracy(supernet, ingredients.lower, tuple(calibration), split, weights)
