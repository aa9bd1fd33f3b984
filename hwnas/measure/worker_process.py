"""Fresh processes that measure: a job goes in, what they see comes out line by line. Board side: Python 3.9 syntax, no
torch."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hwnas.measure.events import Events, forward

LAUNCHER = "HWNAS_LAUNCHER"
"""The environment variable that holds what stands before `python` in the command of a measuring process, such as an
emulator with its options."""
TIMED_OUT = "the measuring process took longer than"
"""Beginning of the reason where a process was ended because of its limit."""


def run_worker(
    job: Mapping[str, Any], threads: int, events: Events, *, limit_s: float | None = None, holding: Sequence[int] = ()
) -> str:
    """Do a job of `hwnas.measure.worker` in a separate process, and return why it ended early; empty if it did not.

    Its events are reported at once. After `limit_s` seconds the process is killed. It keeps the
    descriptors `holding` open: a lock stays held until it ends, even where this process is killed before it.
    """
    late = threading.Event()
    with tempfile.TemporaryFile("w+") as complaints, _worker(complaints, threads, holding) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        with _killed_after(worker, limit_s, late):
            with suppress(BrokenPipeError):  # it ended before it read its job; its code and its complaints say why
                worker.stdin.write(json.dumps(job))
                worker.stdin.close()
            for line in worker.stdout:
                if not line.endswith("\n"):
                    break
                forward(line, events)
            code = worker.wait()
        if late.is_set():
            return f"{TIMED_OUT} {limit_s:g} s"
        if code == 0:
            return ""
        complaints.seek(0)
        lines = complaints.read().strip().splitlines()
        return f"the measuring process ended with code {code}" + (f" ({lines[-1]})" if lines else "")


@contextmanager
def _killed_after(worker: subprocess.Popen[str], limit_s: float | None, late: threading.Event) -> Iterator[None]:
    def end() -> None:
        late.set()
        worker.kill()

    if limit_s is None:
        yield
        return
    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _worker(complaints: Any, threads: int, holding: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    """Start a measuring process; it is killed if it is left early."""
    # What holds `hwnas` is a folder, or on a board the kit's archive.
    home = str(Path(__file__).resolve().parents[2])
    code = "import sys; sys.path.insert(0, sys.argv[1]); from hwnas.measure.worker import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1"}
    worker = subprocess.Popen(
        [*shlex.split(os.environ.get(LAUNCHER, "")), sys.executable, "-c", code, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        env=environment,
        pass_fds=holding,
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
