"""Accuracy that a network inherits from the supernet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from torch import Tensor, nn

from hwnas.accuracy.source import AccuracyContext
from hwnas.data import Split
from hwnas.network import Network
from hwnas.search.evaluate import binomial_error
from hwnas.space import Architecture
from hwnas.supernet import Supernet, accuracy, calibration_images, extract_recalibrated
from hwnas.supernet.batchnorm_cache import BatchNormCache


@final
@dataclass(frozen=True)
class InheritedAccuracy:
    """Top-1 accuracy, 0 to 1, of a sub-network with the supernet's weights and recalibrated statistics.

    Nothing is trained; the same architecture always gets the same score (Cai et al., Once-for-All, 2020).

    Args:
        lower: architecture -> network.
        calibration: batches of training images from which the normalisation statistics are recomputed.
        split: the images that are classified, never test images.
        weights: identifier of the supernet's weights, such as the checkpoint's hash.
    """

    supernet: Supernet
    lower: Callable[[Architecture], Network]
    calibration: tuple[Tensor, ...]
    split: Split
    weights: str
    folder: Path | None = None
    """Folder in which statistics are kept from one use to the next; they are not kept if left out."""

    def __call__(self, architecture: Architecture) -> float:
        network = self.lower(architecture)
        return accuracy(self.settled(network), network, self.split)

    def settled(self, network: Network) -> nn.Module:
        """Return the stand-alone network that is scored, and exported."""
        if self.folder is None:
            return extract_recalibrated(self.supernet, network, self.calibration)
        kept = BatchNormCache(self.folder, f"{self.weights} {self._calibrated}")
        return kept.extract_recalibrated(self.supernet, network, self.calibration)

    def standard_error(self, score: float) -> float:
        """Return the standard error of an accuracy, from the number of images."""
        return binomial_error(score, len(self.split))

    @property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""
        return f"inherited weights={self.weights} calibration={self._calibrated} images={len(self.split)}"

    @cached_property
    def _calibrated(self) -> str:
        seen = hashlib.sha256(b"".join(batch.numpy().tobytes() for batch in self.calibration)).hexdigest()[:8]
        return f"{len(self.calibration)}x:{seen}"


def inherited(ingredients: AccuracyContext) -> InheritedAccuracy:
    """Return the accuracy of a run's sub-networks, on its validation images."""
    settings, dataset = ingredients.settings, ingredients.dataset()
    supernet, weights = ingredients.supernet()
    calibration = calibration_images(
        dataset, count=settings.calibration_batches, batch_size=settings.batch_size, seed=ingredients.seed
    )
    split = dataset.validation if settings.images is None else dataset.validation.first(settings.images)
    folder = ingredients.folder / "statistics"
    return InheritedAccuracy(supernet, ingredients.lower, tuple(calibration), split, weights, folder)
