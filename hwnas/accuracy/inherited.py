"""Quality that a network inherits from the supernet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import final

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hwnas.accuracy.source import AccuracyContext
from hwnas.data import Split
from hwnas.network import Network
from hwnas.space import Architecture
from hwnas.supernet import Supernet, calibration_inputs, estimate, extract_recalibrated
from hwnas.supernet.batchnorm_cache import BatchNormCache
from hwnas.tasks import DEFAULT_TASK, Task


@final
@dataclass(frozen=True)
class InheritedAccuracy:
    """Quality, such as top-1 accuracy, of a sub-network with the supernet's weights and recalibrated statistics.

    Nothing is trained; the same architecture always gets the same score (Cai et al., Once-for-All, 2020).

    Args:
        lower: architecture -> network.
        calibration: batches of training inputs from which the normalisation statistics are recomputed.
        split: the samples that it is judged on, never test samples.
        weights: identifier of the supernet's weights, such as the checkpoint's hash.
    """

    supernet: Supernet
    lower: Callable[[Architecture], Network]
    calibration: tuple[Tensor, ...]
    split: Split
    weights: str
    folder: Path | None = None
    """Folder in which statistics are kept from one use to the next; they are not kept if left out."""
    task: Task = DEFAULT_TASK
    errors: dict[float, float | None] = field(default_factory=dict, repr=False, compare=False)
    """Standard errors by score, of those that were computed here."""

    def __call__(self, architecture: Architecture) -> float:
        network = self.lower(architecture)
        score = estimate(self.settled(network), network, self.split)
        self.errors[score.value] = score.error
        return score.value

    def settled(self, network: Network) -> nn.Module:
        """Return the stand-alone network that is scored, and exported."""
        if self.folder is None:
            return extract_recalibrated(self.supernet, network, self.calibration)
        kept = BatchNormCache(self.folder, f"{self.weights} {self._calibrated}")
        return kept.extract_recalibrated(self.supernet, network, self.calibration)

    def standard_error(self, score: float) -> float | None:
        """Return the standard error of a score, from the samples alone."""
        error = self.errors.get(score)
        return self.task.standard_error(score, len(self.split)) if error is None else error

    @property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""
        return f"inherited weights={self.weights} calibration={self._calibrated} images={len(self.split)}"

    @cached_property
    def _calibrated(self) -> str:
        seen = hashlib.sha256(b"".join(part.numpy().tobytes() for part in tree_leaves(self.calibration))).hexdigest()[
            :8
        ]
        return f"{len(self.calibration)}x:{seen}"


def inherited(ingredients: AccuracyContext) -> InheritedAccuracy:
    """Return the quality of a run's sub-networks, on its validation samples."""
    settings, dataset = ingredients.settings, ingredients.dataset()
    supernet, weights = ingredients.supernet()
    calibration = calibration_inputs(
        dataset, count=settings.calibration_batches, batch_size=settings.batch_size, seed=ingredients.seed
    )
    split = dataset.validation if settings.samples is None else dataset.validation.first(settings.samples)
    folder = ingredients.folder / "statistics"
    return InheritedAccuracy(
        supernet, ingredients.lower, tuple(calibration), split, weights, folder, ingredients.space.task
    )
