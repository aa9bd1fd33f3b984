"""Real int8 files of one network in so many, and what they tell of the simulator that scores the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import final

from torch import Tensor, nn

from hwnas.network import Network
from hwnas.tasks.metrics.sums import Sums

FEWEST_CHECKS = 3
"""Files from which a difference is learned."""
FileSums = Callable[[nn.Module, Network, Tensor], Sums]
"""Function that writes a network's int8 file with these calibration inputs, and runs it on the validation samples."""


@final
@dataclass(frozen=True)
class FileChecks:
    """Networks whose int8 accuracy is that of the file, and the difference that they show.

    Args:
        every: one network in so many is checked, by a hash of its key: the same ones in whatever order they are tried.
        file_sums: statistics of a network's file.
        earlier: differences, file less simulator, of networks that were checked before.
    """

    every: int
    file_sums: FileSums
    earlier: Callable[[], Iterable[float]] = tuple
    simulated: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    """Simulated scores of networks that were checked here, by key."""

    def wants(self, key: str) -> bool:
        """Return whether the architecture of this key is checked."""
        return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % self.every == 0

    def take(self, key: str, simulated: float, of_file: float) -> None:
        """Take in a network that was checked."""
        self.simulated[key] = simulated
        self.differences.append(of_file - simulated)

    @cached_property
    def differences(self) -> list[float]:
        """Differences of all that were checked, file less simulator."""
        return list(self.earlier())

    @property
    def correction(self) -> float:
        """Number to add to a simulated accuracy: the mean difference, shrunken towards 0 by how sure it is of not being
        chance."""
        count = len(self.differences)
        if count < FEWEST_CHECKS:
            return 0.0
        mean = sum(self.differences) / count
        error = sqrt(sum((one - mean) ** 2 for one in self.differences) / (count - 1) / count)
        return mean * max(0.0, 1 - (error / mean) ** 2) if mean else 0.0

    @property
    def producer(self) -> str:
        """Part of the identifier of how scores are made."""
        return f" files=1/{self.every}"
