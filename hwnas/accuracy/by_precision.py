"""Quality of networks in precisions, each by a source of its own. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.accuracy.source import Accuracy
from hwnas.search.precision import split_candidate
from hwnas.space import Architecture

if TYPE_CHECKING:
    from hwnas.tasks.metrics.paired import PairedCounts


@final
@dataclass(frozen=True)
class AccuracyByPrecision:
    """Accuracy of candidates: of each precision by a source of its own.

    Args:
        parts: accuracies of architectures, by precision.
        base: accuracy of the tiers that list no precisions.
    """

    parts: Mapping[str, Accuracy]
    base: Accuracy

    def __call__(self, architecture: Architecture) -> float:
        network, precision = split_candidate(architecture)
        return self.parts[str(precision)](network)

    @property
    def producer(self) -> str:
        """Identifier of how the scores of all precisions are made."""
        return "; ".join(f"{precision}: {part.producer}" for precision, part in self.parts.items())

    @property
    def producers(self) -> dict[str, str]:
        """Producers of stored scores, by precision."""
        return {precision: part.producer for precision, part in self.parts.items()}

    def standard_error(self, score: float) -> float | None:
        """Return the standard error of a score."""
        from hwnas.search.evaluate import standard_error_of

        return standard_error_of(self.base, score)

    def paired_counts(self, candidate: Architecture) -> PairedCounts | None:
        """Return the samples on which a candidate that was scored last differs from itself in fp32."""
        architecture, precision = split_candidate(candidate)
        part = self.parts[str(precision)]
        pairs: Mapping[str, PairedCounts] = getattr(part, "pairs", {})
        return pairs.get(architecture.key)

    def simulated(self, candidate: Architecture) -> float | None:
        """Return what the simulator told of a candidate that was scored last by its file; None if it was not."""
        architecture, precision = split_candidate(candidate)
        checks = getattr(self.parts[str(precision)], "checks", None)
        score: float | None = None if checks is None else checks.simulated.get(architecture.key)
        return score


def producers_of(accuracy: Accuracy) -> str | Mapping[str, str]:
    """Return the producer of stored scores, or one for each precision."""
    return accuracy.producers if isinstance(accuracy, AccuracyByPrecision) else accuracy.producer


def all_producers(accuracy: Accuracy) -> tuple[str, ...]:
    """Return the producers of stored scores."""
    return tuple(accuracy.producers.values()) if isinstance(accuracy, AccuracyByPrecision) else (accuracy.producer,)


def base_producer(accuracy: Accuracy) -> str:
    """Return the producer of accuracies in fp32, from which those of other precisions follow."""
    return accuracy.base.producer if isinstance(accuracy, AccuracyByPrecision) else accuracy.producer
