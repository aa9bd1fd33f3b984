"""Quality of networks in int8, by a simulation of the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from torch import Tensor, nn

from hwnas.accuracy.file_checks import FileChecks
from hwnas.accuracy.inherited import InheritedAccuracy
from hwnas.data import Split
from hwnas.export.simulation import simulated_int8
from hwnas.network import Network
from hwnas.space import Architecture
from hwnas.supernet import evaluate
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.tasks.metrics.sums import Sums


@final
@dataclass(frozen=True)
class Int8Accuracy:
    """Quality of a sub-network with inherited weights, in int8: simulated, and compared with itself in fp32.

    Args:
        fp32: the same quality in fp32: its networks, its samples and its calibration inputs are used.
        file_format: format whose writer is simulated, `onnx` or `tflite`.
        samples: training inputs from which the ranges of activations are taken, at most.
        checks: networks that are judged by their real files; none if left out.
    """

    fp32: InheritedAccuracy
    file_format: str
    samples: int
    checks: FileChecks | None = None
    pairs: dict[str, PairedCounts] = field(default_factory=dict, repr=False, compare=False)
    """Paired counts of networks that were scored here, by key."""

    def __call__(self, architecture: Architecture) -> float:
        network, task = self.fp32.lower(architecture), self.fp32.task
        module = self.fp32.settled(network)
        device = next(module.parameters()).device
        ranges = network.task.fitted(self.ranges.to(device), network.input_shape)
        simulated = simulated_int8(module, ranges, file_format=self.file_format, in_place=True)
        sums = evaluate(simulated, network, self.fp32.split)
        value = network.task.values(sums)[task.quality.name]
        score, error = value.value, value.error
        if self.checks is not None and self.checks.wants(architecture.key):
            sums = self.checks.file_sums(self.fp32.settled(network), network, ranges.cpu())
            judged = network.task.values(sums)[task.quality.name]
            self.checks.take(architecture.key, score, judged.value)
            score, error = judged.value, judged.error
        elif self.checks is not None:
            score += self.checks.correction
            score = min(max(score, 0.0), 1.0) if network.task.has_labels else score
        self.fp32.errors[score] = error
        if (counts := _paired(simulated.module, network, self.fp32.split, sums)) is not None:
            self.pairs[architecture.key] = counts
        return score

    def standard_error(self, score: float) -> float | None:
        """Return the standard error of a score, from the samples alone."""
        return self.fp32.standard_error(score)

    @cached_property
    def ranges(self) -> Tensor:
        """The training inputs from which ranges are taken: the first of those that statistics are recomputed from."""
        return torch.cat(list(self.fp32.calibration))[: self.samples]

    @property
    def producer(self) -> str:
        """Identifier of how a stored score was made."""
        simulated = int8_producer(self.fp32.producer, self.file_format, self.calibration)
        return simulated if self.checks is None else simulated + self.checks.producer

    @cached_property
    def calibration(self) -> str:
        """Number of the inputs that ranges are taken from, and eight digits of their hash."""
        return f"{len(self.ranges)}x:{hashlib.sha256(self.ranges.numpy().tobytes()).hexdigest()[:8]}"


def int8_producer(fp32: str, file_format: str, calibration: str) -> str:
    """Return the producer of int8 accuracies from that of the fp32 accuracies of the same networks."""
    return f"{fp32} precision=int8 simulated={file_format} ranges={calibration}"


def _paired(folded: nn.Module, network: Network, split: Split, int8: Sums) -> PairedCounts | None:
    """Return the samples on which a network and its int8 form differ in being right; None of tasks without labels."""
    if not network.task.has_labels or "answers" not in int8.samples:
        return None
    return PairedCounts.of_sums(evaluate(folded, network, split), int8)
