"""Output that a person sees while a command works: bars and lines on standard error, errors in four parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from hwnas.errors import HwnasError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from hwnas.workspace.progress import Bar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quietly() -> Iterator[None]:
    """Print neither notes nor progress while the block runs; results and errors stay."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


class _Bar:
    """One bar; on a terminal it moves, in a log it leaves a line now and then."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, total: float, text: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, text=text)


class _LogBar:
    """Tenths of the work as lines, for a log without a cursor."""

    def __init__(self, title: str) -> None:
        self._title, self._tenth = title, -1

    def update(self, done: float, total: float, text: str = "") -> None:
        tenth = int(10 * done / total) if total else 10
        if tenth > self._tenth:
            self._tenth = tenth
            print(f"{self._title}: {10 * tenth} % {text}".rstrip(), file=sys.stderr, flush=True)


class _SilentBar:
    """A bar that is not shown."""

    def update(self, done: float, total: float, text: str = "") -> None:
        pass


class Terminal:
    """Reporter on standard error, so that standard output has only the command's result."""

    def info(self, text: str) -> None:
        """Print one line that stays."""
        if not _QUIET.get():
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """Show a bar with the time left, while the block runs."""
        if _QUIET.get():
            yield _SilentBar()
            return
        if not sys.stderr.isatty():
            yield _LogBar(title)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield _Bar(progress, progress.add_task(title, total=1, text=""))


def show_error(error: HwnasError) -> None:
    """Print the four parts of an error on standard error, one on each line."""
    print(f"error: {error.met}", file=sys.stderr)
    for label, part in (("where", error.where), ("allowed", error.allowed), ("next", error.do)):
        print(f"  {label + ':':<9}{part}", file=sys.stderr)
