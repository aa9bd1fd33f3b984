"""Progress of commands; the command line shows it, a caller from Python may stay silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Bar(Protocol):
    """A piece of work with a known amount."""

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is, and a few words."""


class Reporter(Protocol):
    """Receiver of the messages and the progress of a command."""

    def info(self, text: str) -> None:
        """Show a line that stays."""

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """Show a bar while the `with` block runs."""


class _NullBar:
    def update(self, done: float, total: float, text: str = "") -> None:
        pass


class NullReporter:
    """A reporter that shows nothing."""

    def info(self, text: str) -> None:
        """Do nothing."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """Yield a bar that shows nothing."""
        yield _NullBar()


@dataclass(frozen=True)
class NoProgress:
    """A reporter that passes lines on to another one and shows no bars."""

    reporter: Reporter

    def info(self, text: str) -> None:
        """Pass the line on."""
        self.reporter.info(text)

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """Return a bar that shows nothing."""
        return NullReporter().bar(title)


@dataclass
class LateBar:
    """A bar that is shown only for work that takes longer than `after_s` seconds from its first step."""

    reporter: Reporter
    title: str
    after_s: float = 3.0
    _bar: Bar | None = field(default=None, init=False)
    _start: float | None = field(default=None, init=False)

    def __enter__(self) -> LateBar:
        self._shown = ExitStack()
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is, if it has taken that long."""
        self._start = time.monotonic() if self._start is None else self._start
        if self._bar is None and time.monotonic() - self._start > self.after_s:
            self._bar = self._shown.enter_context(self.reporter.bar(self.title))
        if self._bar is not None:
            self._bar.update(done, total, text)
