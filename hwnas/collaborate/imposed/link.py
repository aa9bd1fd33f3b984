"""An imposed link as the process that asks for it sees it: states, sockets and processes on both ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from hwnas.collaborate.imposed.direction import Outage
from hwnas.collaborate.imposed.namespaces import check_namespaces, inside, refused
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import Steps
from hwnas.errors import RunError
from hwnas.words import brief

End = Literal["edge", "cloud"]
ENDS: tuple[End, End] = ("edge", "cloud")
ENDING_S = 5.0


@dataclass(frozen=True)
class LinkState:
    """State of a link from now on.

    Args:
        up_mbps: rate towards the cloud; None for its record.
        down_mbps: rate towards the edge, likewise.
        rtt_ms: round trip, likewise.
        start_ms: the time of the records that is now.
        held_ms: time for which nothing passes, from the next packet that leaves the edge on.
        loss: share of packets that are lost.
        outage: whether packets that meet an outage are held or dropped.
    """

    up_mbps: float | None
    down_mbps: float | None
    rtt_ms: float | None
    start_ms: float = 0.0
    held_ms: float = 0.0
    loss: float = 0.0
    outage: Outage = "hold"


@brief
class ImposedLink:
    """A link between two network namespaces of this machine, to be used in a `with` statement.

    The namespaces have no names: the kernel removes them, and the devices in them, with the last process that is
    inside; and every process inside ends with the one that made the link, however that one ends.

    Args:
        link: whose records are replayed; all else is told by states. The windows of its connections shrink while they
            rest, unless they are `warm`.
        seed: of the losses.

    Raises:
        RunError: this machine or this user cannot impose a link.
    """

    def __init__(self, link: LinkModel, seed: int = 0) -> None:
        check_namespaces()
        self._command = [sys.executable, "-m", "hwnas.collaborate.imposed.emulator", str(os.getpid())]
        records = {name: _as_lists(steps) for name, steps in link.series.records.items()}
        self._begin = {"records": records, "seed": seed, "keeps_window": link.connection == "warm"}
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> ImposedLink:
        self._emulator = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._started = self._asked(self._begin)
        except BaseException:
            self.close()
            raise
        if "refused" in self._started:
            self.close()
            raise refused(self._started["refused"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes on both ends, and the link."""
        for process in (*reversed(self._processes), self._emulator):
            process.kill()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDING_S)

    @property
    def process(self) -> int:
        """Id of the process that carries the packets."""
        return self._emulator.pid

    def set_state(self, state: LinkState) -> None:
        """Change the link to a state."""
        self._asked(vars(state))

    def facts(self) -> dict[str, Any]:
        """Return what was carried so far, how late packets were passed on, and the share of a core that it took."""
        return {**self._asked({}), "real_time": self._started["real_time"]}

    def namespace(self, end: End) -> str:
        """Return the path of an end's network namespace."""
        return f"/proc/{self._emulator.pid}/fd/{self._started['namespaces'][ENDS.index(end)]}"

    def socket(self, end: End, kind: socket.SocketKind) -> socket.socket:
        """Return a socket of an end, for IPv4."""
        return inside(self.namespace(end), lambda: socket.socket(socket.AF_INET, kind))

    def popen(self, end: End, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process on an end; it is ended with the link."""
        launcher = [sys.executable, "-m", "hwnas.collaborate.imposed.launcher", self.namespace(end), str(os.getpid())]
        process: subprocess.Popen[Any] = subprocess.Popen([*launcher, *map(str, command)], **options)
        self._processes.append(process)
        return process

    def _asked(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the emulator's answer to a message."""
        assert self._emulator.stdin is not None
        assert self._emulator.stdout is not None
        try:
            self._emulator.stdin.write(json.dumps(message) + "\n")
            self._emulator.stdin.flush()
            line = self._emulator.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RunError(
                "the process that carries the packets has ended",
                where="imposed link",
                allowed="It runs until the link is closed",
                do="Measure again; what it printed stands above",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def _as_lists(steps: Steps) -> dict[str, Any]:
    return {"starts_ms": steps.starts_ms.tolist(), "values": steps.values.tolist(), "period_ms": steps.period_ms}
