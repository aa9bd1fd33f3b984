"""Commands that are started to be killed: forked from a process that has imported what takes seconds."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas import pipeline

MARK = "HWNAS_KILL_TRIAL"
"""An environment variable by which the processes of a trial are known, whoever started them."""
LOCKS = "HWNAS_LOCKS"
UNDISTURBED_S = 600
"""Seconds after which a command that nobody disturbs counts as hanging."""
WARM = ("torch", "onnx", "onnxruntime", "optuna", "sklearn.datasets", "plotly.graph_objects", "hwnas.console")
VERBS = ("bench", "doctor", "export", "fidelity", "halving", "report", "run", "score", "search", "train")


def warm() -> None:
    """Import what commands import, so that a kill meets their work and not their imports."""
    for name in WARM:
        importlib.import_module(name)
    for verb in VERBS:
        getattr(pipeline, verb)


@dataclass(frozen=True)
class Ended:
    """How a start ended, and what it printed on standard error."""

    code: int
    """Negative for the signal that killed it."""
    seconds: float
    err: str


@dataclass
class Started:
    """A command that runs."""

    pid: int
    since: float
    log: Path
    ended: Ended | None = None

    def is_over(self) -> Ended | None:
        """How it ended, if it did."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.ended = Ended(code, time.monotonic() - self.since, self.log.read_text(errors="replace"))
        return self.ended

    def wait(self, seconds: float = UNDISTURBED_S) -> Ended:
        """How it ended; it is killed after so long."""
        until = time.monotonic() + seconds
        while (ended := self.is_over()) is None:
            if time.monotonic() > until:
                self.kill()
                until = float("inf")
            time.sleep(0.01)
        return ended

    def kill(self) -> None:
        """End it and its process group as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(argv: Sequence[str], folder: Path, mark: str) -> Started:
    """Give a command to the entry of the command line, or a kit to Python, in a new process and that folder."""
    log = folder.parent / f"{folder.name}-{time.monotonic_ns()}.log"
    log.touch()  # the command may be killed before it opens it
    since, pid = time.monotonic(), os.fork()
    if pid == 0:
        code = 70
        try:
            os.setpgid(0, 0)
            _as_if_new(folder, log, mark)
            code = _run(argv)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    os.setpgid(pid, pid)  # by both, or the group may not be there yet when it is killed
    return Started(pid, since, log)


def _as_if_new(folder: Path, log: Path, mark: str) -> None:
    os.environ[MARK] = mark
    locks = folder.parent / "locks"
    locks.mkdir(exist_ok=True)
    os.environ[LOCKS] = str(locks)
    os.chdir(folder)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (os.open(os.devnull, os.O_WRONLY), 1), (out, 2)):
        os.dup2(descriptor, target)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(argv: Sequence[str]) -> int:
    if argv[0].endswith(".pyz"):
        os.environ.pop("PYTHONPATH", None)
        os.execv(sys.executable, [sys.executable, "-I", *argv])
    from hwnas.cli import entry

    sys.argv = ["hwnas", *argv]
    entry.main()
    return 0


def processes(mark: str) -> Iterator[tuple[int, str]]:
    """The processes of a trial that live, each with its title."""
    wanted = f"{MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (place / "environ").read_bytes().split(b"\0"):
                title = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if title.strip():  # none of a process that is dead and not yet waited for
                    yield int(place.name), title


def is_there(mark: str, pattern: str) -> bool:
    """Return whether a process of the trial has such a title."""
    return any(re.search(pattern, title) for _, title in processes(mark))


def kill_one(mark: str, pattern: str, pick: Callable[[Sequence[int]], int]) -> str | None:
    """Kill one process whose title has the pattern; that title, or None if there is none."""
    there = {pid: title for pid, title in processes(mark) if re.search(pattern, title)}
    if not there:
        return None
    pid = pick(sorted(there))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return there[pid]


def survivors(mark: str, patience_s: float = 15) -> list[str]:
    """Titles of processes of a trial that do not end by themselves; they are ended."""
    until = time.monotonic() + patience_s
    while left := list(processes(mark)):
        if time.monotonic() > until:
            for pid, _ in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return [title[:100] for _, title in left]
        time.sleep(0.1)
    return []
