"""Events of a measuring process, as calls where they happen and as JSON lines between processes. Board side: Python 3.9
syntax, no numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TextIO, TypeVar

T = TypeVar("T")
Progress = Callable[[int, int, str], None]
"""Function that is called with (work done, work planned, what is done)."""


def no_progress(done: int, planned: int, what: str) -> None:
    """Report nothing."""


class Events(Protocol):
    """Receiver of what a measuring process does; a file is an index in its list of files."""

    def started(self, file: int | None) -> None:
        """Report the file that is being loaded; None once all are."""

    def round(self, done: int, planned: int) -> None:
        """Report the number of rounds of samples that were taken."""

    def sample(self, file: int, values: Mapping[str, Any]) -> None:
        """Report what was measured of a file."""

    def failed(self, file: int, why: str) -> None:
        """Report why nothing is measured of a file."""

    def done(self) -> None:
        """Report that the job is finished."""


class EventWriter:
    """Events as JSON lines, each written at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def started(self, file: int | None) -> None:
        self._write("started", file)

    def round(self, done: int, planned: int) -> None:
        self._write("round", done, planned)

    def sample(self, file: int, values: Mapping[str, Any]) -> None:
        self._write("sample", file, values)

    def failed(self, file: int, why: str) -> None:
        self._write("failed", file, why)

    def done(self) -> None:
        self._write("done")

    def _write(self, event: str, *arguments: object) -> None:
        self._file.write(json.dumps([event, *arguments]) + "\n")
        self._file.flush()


class Outcomes(Generic[T]):
    """Events of files that are measured one after the other: a result of each, or why there is none, in their order."""

    def __init__(self, read: Callable[[Mapping[str, Any]], T], progress: Callable[[int], None]) -> None:
        self.results: list[tuple[int, T | str]] = []
        self._read, self._progress = read, progress

    def started(self, file: int | None) -> None:
        pass

    def round(self, done: int, planned: int) -> None:
        pass

    def sample(self, file: int, values: Mapping[str, Any]) -> None:
        self._add(file, self._read(values))

    def failed(self, file: int, why: str) -> None:
        self._add(file, why)

    def done(self) -> None:
        pass

    def _add(self, file: int, result: T | str) -> None:
        self.results.append((file, result))
        self._progress(len(self.results))


def forward(line: str, events: Events) -> None:
    """Report the event of a JSON line."""
    event, *arguments = json.loads(line)
    getattr(events, event)(*arguments)
