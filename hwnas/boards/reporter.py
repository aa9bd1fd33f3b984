"""Reporters of what a kit does, to a person at a terminal, or to the desk in JSON lines. Board side: Python 3.9 syntax,
no numpy."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from hwnas.errors import HwnasError, RunError
from hwnas.words import counted

EVERY_S = 0.5
"""Seconds between reports of progress."""
KIT_WAIT_S = 20.0
"""Seconds that an attended kit waits for one that is about to end."""


class Stopped(BaseException):
    """Raised when somebody ended the process, or the desk has gone away."""


class BoardReporter(Protocol):
    """Receiver of what a kit does."""

    patience_s: float
    """Seconds that another process on the same table is waited for."""

    def say(self, text: str) -> None:
        """Report one line."""

    def progress(self, done: int, planned: int, what: str) -> None:
        """Report the numbers of files done and of files planned."""

    def error(self, error: HwnasError) -> None:
        """Report the error that ends the kit."""

    def done(self, table: Path, rows: int, checks: int) -> None:
        """Report that the table is complete."""

    def looked(self, setup: Mapping[str, Any], what: str) -> None:
        """Report the board's set-up, and what a kit would do."""


class TerminalReporter:
    """Lines for a person; progress stays on one line of a terminal, and in a log is a line for each tenth."""

    patience_s = 0.0

    def __init__(self) -> None:
        self._told = -1
        self._open = False

    def say(self, text: str) -> None:
        self._line()
        print(text, flush=True)

    def progress(self, done: int, planned: int, what: str) -> None:
        percent = 100 * done // max(planned, 1)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{percent:>3} % {what}")
            sys.stderr.flush()
            self._open = True
        elif percent // 10 > self._told:
            self._told = percent // 10
            print(f"{percent} % {what}", file=sys.stderr, flush=True)

    def error(self, error: HwnasError) -> None:
        self._line()
        print(f"error: {error.met}", file=sys.stderr)
        for label, part in (("where", error.where), ("allowed", error.allowed), ("next", error.do)):
            print(f"  {label + ':':<9}{part}", file=sys.stderr)

    def done(self, table: Path, rows: int, checks: int) -> None:
        self.say(f"{table}: {counted(rows, 'row')}, {counted(checks, 'check')}")

    def looked(self, setup: Mapping[str, Any], what: str) -> None:
        self.say(", ".join(f"{name} {value}" for name, value in setup.items()))
        self.say(what)

    def _line(self) -> None:
        if self._open:
            sys.stderr.write("\n")
            self._open = False


class JsonReporter:
    """JSON lines on standard output, for `hwnas bench --host`."""

    patience_s = KIT_WAIT_S

    def __init__(self) -> None:
        self._last_s = 0.0

    def say(self, text: str) -> None:
        self._tell({"say": text})

    def progress(self, done: int, planned: int, what: str) -> None:
        now = time.monotonic()
        if now - self._last_s >= EVERY_S:
            self._last_s = now
            self._tell({"progress": [done, planned, what]})

    def error(self, error: HwnasError) -> None:
        parts = {"met": error.met, "where": error.where, "allowed": error.allowed, "do": error.do}
        self._tell({"error": parts})

    def done(self, table: Path, rows: int, checks: int) -> None:
        self._tell({"done": {"rows": rows, "checks": checks}})

    def looked(self, setup: Mapping[str, Any], what: str) -> None:
        self._tell({"done": {"setup": dict(setup), "what": what}})

    def _tell(self, line: dict[str, Any]) -> None:
        try:
            print(json.dumps(line), flush=True)
        except OSError:  # nobody hears
            raise Stopped from None


def stop_when_alone() -> None:
    """Raise `Stopped` in the main thread from now on when standard input ends, as it does when the desk's connection
    drops, or when the process is asked to end."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def exclusive(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the lock of a table's file; another process that holds it is waited for.

    Raises:
        RunError: the other process still holds it afterwards.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_fifo():
        raise RunError(
            "a pipe stands there", where=str(path), allowed="A table is a file", do="Name another one with --out"
        )
    with open(path, "ab") as file:
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise RunError(
                        "another process writes this table",
                        where=str(path),
                        allowed="One kit at a time measures on a board: two would slow each other",
                        do="Wait for it, or end it",
                    ) from error
                time.sleep(0.2)
        yield
