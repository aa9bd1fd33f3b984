"""Progress of commands; the command line shows it, a caller from Python may stay silent."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


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


class Notebook:
    """A reporter in a notebook: lines of text, and for each bar one output that changes in its place."""

    def info(self, text: str) -> None:
        """Print the line."""
        print(text, flush=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """Show a bar, with what it is of and a few words; it stays when the work is done."""
        from IPython.display import display

        shown = _NotebookBar(title)
        shown.handle = display(shown, display_id=True)
        try:
            yield shown
        finally:
            shown.handle.update(shown)


@dataclass
class _NotebookBar:
    """A bar as a notebook shows it, drawn again five times a second at most."""

    title: str
    done: float = 0.0
    total: float = 1.0
    text: str = ""
    handle: Any = field(default=None, repr=False)
    _drawn: float = field(default=0.0, repr=False)

    def update(self, done: float, total: float, text: str = "") -> None:
        self.done, self.total, self.text = done, total, text
        if time.monotonic() - self._drawn > 0.2:
            self._drawn = time.monotonic()
            self.handle.update(self)

    def __repr__(self) -> str:
        return f"{self.title}: {100 * self.done / (self.total or 1):.0f} % {self.text}".rstrip()

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done:g}" max="{self.total or 1:g}"></progress>'
        return f"{bar} {html.escape(repr(self))}"


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook: IPython without a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def default_reporter(reporter: Reporter | None) -> Reporter:
    """Return the reporter; where none is given, one that shows bars in a notebook and nothing elsewhere."""
    return reporter or (Notebook() if in_notebook() else NullReporter())


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
