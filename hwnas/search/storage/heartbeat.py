"""The processes that work on a shared study, and the detection of dead ones."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

WorkerInfo = Mapping[str, Any]
"""Card of a process: its place, its pid, its start time, and a beat that grows as long as it lives."""


def worker_info(pid: int) -> dict[str, Any]:
    """Return the card of a process on this machine."""
    return {"place": host_id(), "host": socket.gethostname(), "pid": pid, "born": process_start_time(pid)}


def host_id() -> str:
    """Return a name of the scope in which pids are comparable: this boot of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode():x}"


def process_start_time(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def is_alive_here(card: WorkerInfo, here: str | None = None) -> bool | None:
    """Return whether the kernel knows the process; None for one that is elsewhere."""
    if card["place"] != (here or host_id()):
        return None
    now_born = process_start_time(int(card["pid"]))
    return now_born is not None and now_born == str(card["born"])


@final
class Heartbeat:
    """Heartbeat of this process, and a judge of those of others.

    On one machine the kernel knows. Of one elsewhere only the beat is visible: one that did not grow for
    `heartbeat_timeout_s` seconds, by this process's clock, is taken for dead. So clocks of machines need not agree.
    """

    def __init__(self, publish: Callable[[str, WorkerInfo], None], heartbeat_timeout_s: float) -> None:
        self.name = uuid.uuid4().hex[:12]
        self._publish, self._heartbeat_timeout_s = publish, heartbeat_timeout_s
        self._card = worker_info(os.getpid())
        self._seen: dict[str, tuple[int, float]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Publish the beat from now on, until `end`."""
        if self._thread is None:
            self._publish(self.name, {**self._card, "beat": 0})
            self._thread = threading.Thread(target=self._beat, name="hwnas-presence", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Publish no more beats."""
        self._ended.set()

    def is_alive(self, name: str, card: WorkerInfo | None) -> bool:
        """Return whether the process with this card lives, as far as can be known from here."""
        if name == self.name:
            return True
        if card is not None and (alive := is_alive_here(card, self._card["place"])) is not None:
            return alive
        beat, now = -1 if card is None else int(card["beat"]), time.monotonic()
        last, since = self._seen.setdefault(name, (beat, now))
        if beat != last:
            self._seen[name] = (beat, now)
            return True
        return now - since < self._heartbeat_timeout_s

    def _beat(self) -> None:
        beat = 0
        while not self._ended.wait(self._heartbeat_timeout_s / 5):
            beat += 1
            with contextlib.suppress(Exception):  # a storage that is away hears the next beat
                self._publish(self.name, {**self._card, "beat": beat})
