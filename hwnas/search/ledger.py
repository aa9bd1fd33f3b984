"""Scores that travel: what a worker elsewhere is told of the store, and what it gives back for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, final

from hwnas.search.store import Score, now
from hwnas.space import Architecture


class Book(Protocol):
    """Where scores are looked up and noted."""

    def get(self, architecture: Architecture, metric: str, producer: str) -> Score | None:
        """The score, or None if that producer has not scored the architecture yet."""

    def record(
        self,
        architecture: Architecture,
        metric: str,
        value: float,
        *,
        producer: str,
        elapsed_s: float,
        error: float | None = None,
    ) -> Score:
        """Note a value, with its standard error if that is known."""

    def record_failure(
        self, architecture: Architecture, metric: str, reason: str, *, producer: str, elapsed_s: float
    ) -> Score:
        """Note that scoring failed, and why."""


@final
class Ledger:
    """A book without a file: it begins with the scores that are known, and keeps those that are new apart."""

    def __init__(self, known: Iterable[Score] = ()) -> None:
        self.new: list[Score] = []
        self._scores = {(score.architecture.key, score.metric, score.producer): score for score in known}

    def get(self, architecture: Architecture, metric: str, producer: str) -> Score | None:
        """The score, or None if it is not known here."""
        return self._scores.get((architecture.key, metric, producer))

    def record(
        self,
        architecture: Architecture,
        metric: str,
        value: float,
        *,
        producer: str,
        elapsed_s: float,
        error: float | None = None,
    ) -> Score:
        """Note a value, with its standard error if that is known."""
        return self._note(Score(architecture, metric, producer, float(value), None, elapsed_s, now(), error))

    def record_failure(
        self, architecture: Architecture, metric: str, reason: str, *, producer: str, elapsed_s: float
    ) -> Score:
        """Note that scoring failed, and why."""
        return self._note(Score(architecture, metric, producer, None, reason, elapsed_s, now()))

    def _note(self, score: Score) -> Score:
        self._scores[score.architecture.key, score.metric, score.producer] = score
        self.new.append(score)
        return score
