"""The store: every score that was ever computed in a run, shared by its tiers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from hwnas.errors import RunError
from hwnas.io.checksum import sealed, unsealed
from hwnas.io.fields import FieldError, Fields
from hwnas.io.jsonl import Lines, append_lines, read_lines
from hwnas.search.stored_architecture import architecture_field, paired_field
from hwnas.space import Architecture
from hwnas.tasks.metrics.paired import PairedCounts


@dataclass(frozen=True)
class Score:
    """Result of scoring an architecture: a value, or the reason why there is none."""

    architecture: Architecture
    metric: str
    producer: str
    """Origin of the score: for an inherited accuracy, the checkpoint's hash and the protocol."""
    value: float | None
    failed: str | None
    elapsed_s: float
    at: str
    error: float | None = None
    """The standard error of the value, where it is known."""
    paired: PairedCounts | None = None
    """Of a network in a lower precision, the samples on which it and itself in fp32 differ."""
    simulated: float | None = None
    """Of a network in a lower precision that its file was judged of, what the simulator told."""


class ScoreBook(ABC):
    """Interface of a book in which scores are looked up and noted."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Name of the book's location, as it stands in errors."""

    @abstractmethod
    def get(self, architecture: Architecture, metric: str, producer: str) -> Score | None:
        """The score, or None if that producer has not scored the architecture yet."""

    @abstractmethod
    def add(self, score: Score) -> Score:
        """Note a score that was made elsewhere."""

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
        """Note a value, with its standard error if that is known.

        Raises:
            RunError: the value is NaN or infinite, or it cannot be kept.
        """
        if not math.isfinite(value):
            raise RunError(
                f"the score {value} for `{metric}` is no number to keep",
                where=self.location,
                allowed="Finite numbers are kept; a failure is kept with its reason",
                do="Record the failure instead of the number",
            )
        return self.add(Score(architecture, metric, producer, float(value), None, elapsed_s, timestamp(), error))

    def record_failure(
        self, architecture: Architecture, metric: str, reason: str, *, producer: str, elapsed_s: float
    ) -> Score:
        """Note that scoring failed, and why."""
        return self.add(Score(architecture, metric, producer, None, reason, elapsed_s, timestamp()))


@final
class ScoreStore(ScoreBook):
    """Scores by architecture, metric and producer, kept in a file of one JSON object a line, each with its checksum.

    A score is on the disk before `record` returns. Of two scores for the same thing the later one counts. A last
    line that was cut off is left out (see `notices`) and dropped from the file before the next line is written;
    reading alone never changes the file.
    """

    def __init__(self, path: Path, lines: Lines, *, shared: bool = False) -> None:
        self.path = path
        self.notices: tuple[str, ...] = ()
        self._shared, self._bytes = shared, lines.whole_bytes
        self._scores: dict[tuple[str, str, str], Score] = {}
        for number, record in enumerate(lines.records, 1):
            self._index(_score(record, f"{path}:{number}"))
        if lines.cut_bytes:
            self.notices = (f"{path}: the last line was cut off while it was written; what it held is scored again",)

    @classmethod
    def open(cls, path: Path, *, shared: bool = False) -> ScoreStore:
        """Open the store in a file, an empty one if there is no file; if `shared`, what other processes add is seen.

        Raises:
            RunError: a line other than the last is damaged; it is named.
        """
        return cls(path, read_lines(path), shared=shared)

    @property
    def location(self) -> str:
        """Path of the file."""
        return str(self.path)

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def scores(self) -> tuple[Score, ...]:
        """All scores, oldest first."""
        return tuple(self._scores.values())

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Every architecture that has a score or a failure, each once."""
        return tuple({score.architecture.key: score.architecture for score in self._scores.values()}.values())

    def get(self, architecture: Architecture, metric: str, producer: str) -> Score | None:
        """The score, or None if that producer has not scored the architecture yet."""
        key = (architecture.key, metric, producer)
        if self._shared and key not in self._scores:
            self._catch_up()
        return self._scores.get(key)

    def add(self, score: Score) -> Score:
        """Append a score that was made elsewhere."""
        self.add_all([score])
        return score

    def add_all(self, scores: Iterable[Score]) -> None:
        """Append several; all are on the disk when this returns."""
        scores = tuple(scores)
        append_lines(self.path, [_record(score) for score in scores])
        for score in scores:
            self._index(score)

    def _catch_up(self) -> None:
        """Take in the lines that were appended since the last look."""
        if self.path.exists() and self.path.stat().st_size > self._bytes:
            lines = read_lines(self.path, self._bytes)
            self._bytes = lines.whole_bytes
            for record in lines.records:
                self._index(_score(record, str(self.path)))

    def _index(self, score: Score) -> None:
        self._scores[score.architecture.key, score.metric, score.producer] = score


def timestamp() -> str:
    """Return the time that a score is stamped with."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _record(score: Score) -> dict[str, Any]:
    outcome: dict[str, Any] = {"failed": score.failed} if score.failed is not None else {"value": score.value}
    if score.error is not None:
        outcome["error"] = score.error
    if score.paired is not None:
        outcome["paired"] = score.paired.as_dict()
    if score.simulated is not None:
        outcome["simulated"] = score.simulated
    return sealed(
        {
            "key": score.architecture.key,
            "architecture": score.architecture.as_dict(),
            "metric": score.metric,
            **outcome,
            "producer": score.producer,
            "elapsed_s": round(score.elapsed_s, 6),
            "at": score.at,
        }
    )


def _score(record: Mapping[str, Any], where: str) -> Score:
    try:
        line = Fields(unsealed(record))
        architecture, failed = architecture_field(line), line.text("failed") if line.optional("failed") else None
        if line.optional("value") is (failed is not None) or "key" not in line:
            raise FieldError("it holds neither one `value` nor one `failed`, or no `key`")
        return Score(
            architecture,
            line.text("metric"),
            line.text("producer"),
            line.number("value") if failed is None else None,
            failed,
            line.number("elapsed_s"),
            line.text("at"),
            line.number("error") if line.optional("error") else None,
            paired_field(line),
            line.number("simulated") if line.optional("simulated") else None,
        )
    except FieldError as error:
        raise RunError(
            f"the line is no score ({error})",
            where=where,
            allowed="A score has key, architecture, metric, value or failed, producer, elapsed_s, at",
            do="Remove that line; what it held is scored again when asked for",
        ) from error
