"""Position of training within an epoch: all that its next step needs beside weights and optimizer."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from hwnas.supernet.training.skipped import SkippedSubnets


@dataclass(frozen=True)
class EpochState:
    """State after a step of an epoch."""

    step: int
    total: float
    """Sum of the losses so far, of `told` steps that had one."""
    told: int
    failed: int
    tried: int
    seconds: float
    chance: list[Any]
    """State of the generator that draws architectures."""
    drawn: Tensor
    """State of the generator that shuffles and augments."""
    dropout: Tensor
    """State of PyTorch's own generator."""
    dropout_cuda: list[Tensor]

    @classmethod
    def of(cls, content: dict[str, Any]) -> EpochState:
        """Return the state in the content of a checkpoint, as `content` writes it."""
        return cls(**content)

    def content(self) -> dict[str, Any]:
        """Return the state as content of a checkpoint."""
        return asdict(self)


@dataclass
class EpochCursor:
    """Progress through an epoch: its generators, and its losses and failures so far."""

    rng: random.Random
    generator: torch.Generator
    failures: SkippedSubnets
    steps: int = 0
    """Steps taken so far."""
    total: float = 0.0
    told: int = 0
    begun_s: float = 0.0
    """Start by the monotonic clock, less the seconds spent before."""

    @classmethod
    def begin(cls, seed: int, failures: SkippedSubnets) -> EpochCursor:
        """Return the cursor before the first step; seed PyTorch's own generator, too."""
        torch.manual_seed(seed)
        failures.begin()
        return cls(random.Random(seed), torch.Generator().manual_seed(seed), failures, begun_s=time.monotonic())

    def seek(self, position: EpochState) -> None:
        """Take over the position of an earlier process; batches set `generator` themselves."""
        version, numbers, gauss = position.chance
        self.rng.setstate((version, tuple(numbers), gauss))
        torch.set_rng_state(position.dropout)
        if position.dropout_cuda and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(position.dropout_cuda)
        self.failures.failed, self.failures.tried = position.failed, position.tried
        self.steps, self.total, self.told = position.step, position.total, position.told
        self.begun_s -= position.seconds

    @property
    def seconds(self) -> float:
        """Seconds spent on the epoch so far, in all processes that worked on it one after the other."""
        return time.monotonic() - self.begun_s

    @property
    def loss(self) -> float:
        """Mean loss so far."""
        return self.total / max(self.told, 1)

    def note(self, loss: float | None) -> None:
        """Record a step and its loss, if it had one."""
        self.steps += 1
        if loss is not None:
            self.total, self.told = self.total + loss, self.told + 1

    def position(self) -> EpochState:
        """Return the current position in the epoch."""
        version, numbers, gauss = self.rng.getstate()
        return EpochState(
            self.steps,
            self.total,
            self.told,
            self.failures.failed,
            self.failures.tried,
            self.seconds,
            [version, list(numbers), gauss],
            self.generator.get_state(),
            torch.get_rng_state(),
            torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        )
