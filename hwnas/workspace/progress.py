"""How a verb tells what it is doing; the command line shows it, a caller from Python may stay silent."""

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
    """Receives what a verb tells."""

    def info(self, text: str) -> None:
        """One line that stays."""

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """A bar that is shown while the `with` block runs."""


class _NullBar:
    def update(self, done: float, total: float, text: str = "") -> None:
        pass


class NullReporter:
    """Tells nothing."""

    def info(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """No bar."""
        yield _NullBar()


@dataclass(frozen=True)
class NoProgress:
    """Another one's lines, without bars."""

    narrator: Reporter

    def info(self, text: str) -> None:
        """Handed on."""
        self.narrator.info(text)

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """No bar."""
        return NullReporter().bar(title)


@dataclass
class LateBar:
    """A bar that is shown only for work that takes longer, from its first step, than people wait without a word."""

    narrator: Reporter
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
            self._bar = self._shown.enter_context(self.narrator.bar(self.title))
        if self._bar is not None:
            self._bar.update(done, total, text)
