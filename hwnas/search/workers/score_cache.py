"""Scores that travel: those of the store that a worker elsewhere gets, and those that it gives back for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from hwnas.search.score_store import Score, ScoreBook
from hwnas.space import Architecture


@final
class ScoreBuffer(ScoreBook):
    """A book without a file: it begins with the scores that are known, and keeps those that are new apart."""

    def __init__(self, known: Iterable[Score] = ()) -> None:
        self.new: list[Score] = []
        self._scores = {(score.architecture.key, score.metric, score.producer): score for score in known}

    @property
    def location(self) -> str:
        """Name of the location in errors; there is no file."""
        return "scores on their way to the store"

    def get(self, architecture: Architecture, metric: str, producer: str) -> Score | None:
        """The score, or None if it is not known here."""
        return self._scores.get((architecture.key, metric, producer))

    def add(self, score: Score) -> Score:
        """Note a score."""
        self._scores[score.architecture.key, score.metric, score.producer] = score
        self.new.append(score)
        return score
