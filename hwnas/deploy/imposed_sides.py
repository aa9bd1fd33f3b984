"""The processes of deployments on both ends of an imposed link: a server for each cloud, one process for all edges."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.collaborate.imposed.link import ImposedLink
from hwnas.collaborate.imposed.measurement import TimedRequest
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS
from hwnas.errors import RunError

FIRST_PORT = 8440
START_PATIENCE_S = 120.0
"""Time in which a server has loaded its file."""
LONG_READ_S = 120.0
"""Longer than outages of recorded links: what is measured are latencies, not which requests a server gives up."""
LISTEN_PROBE_S = 0.1


@dataclass(frozen=True)
class Credentials:
    """Secrets that a server and its clients share.

    Args:
        certificates: folder of the server's certificate, its key and the authority's.
        token_file: hash of the token.
        token: that requests bear.
    """

    certificates: Path
    token_file: Path
    token: str


def start_server(imposed: ImposedLink, cloud: Path, index: int, credentials: Credentials, log: Path) -> str:
    """Serve the cloud's side of a deployment on the cloud's end, and return its address when it listens.

    Raises:
        RunError: it ended, or does not listen in time.
    """
    port = FIRST_PORT + index
    options = {
        "--host": CLOUD_ADDRESS,
        "--port": port,
        "--certificates": credentials.certificates,
        "--token-file": credentials.token_file,
        "--read-s": LONG_READ_S,
    }
    command = [sys.executable, "-m", "hwnas.cli", "serve", cloud, *(word for pair in options.items() for word in pair)]
    with log.open("wb") as stream:
        process = imposed.popen("cloud", [str(word) for word in command], stdout=stream, stderr=stream)
    until = time.monotonic() + START_PATIENCE_S
    while not _listens(imposed, port):
        if process.poll() is not None or time.monotonic() > until:
            raise _not_started("the server", cloud, log)
        time.sleep(LISTEN_PROBE_S)
    return f"https://{CLOUD_ADDRESS}:{port}"


def _listens(imposed: ImposedLink, port: int) -> bool:
    with imposed.socket("cloud", socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.connect((CLOUD_ADDRESS, port))
        return True
    return False


def _not_started(who: str, folder: Path, log: Path) -> RunError:
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return RunError(
        f"{who} of a plan did not start ({said[-1] if said else 'it printed nothing'})",
        where=str(folder),
        allowed="Both sides of a plan run on this machine while it is measured",
        do="Run `hwnas serve` on the folder to see what it prints",
    )


class Edges:
    """The process on the edge's end that holds the clients of all plans.

    Args:
        imposed: the link.
        plans: what `hwnas.deploy.imposed_edge` is told of each: its folder, the cloud's address.
        samples: file of the inputs, as numpy stores them.
        slowdown: how many times longer the edge computes than this machine does.
        log: file of what it prints.
    """

    def __init__(
        self, imposed: ImposedLink, plans: Sequence[Mapping[str, Any]], samples: Path, slowdown: float, log: Path
    ) -> None:
        command = [sys.executable, "-m", "hwnas.deploy.imposed_edge"]
        with log.open("wb") as stream:
            self._process = imposed.popen(
                "edge", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True
            )
        self._log, self._folder = log, samples.parent
        self.asked({"plans": list(plans), "samples": str(samples), "slowdown": slowdown})
        self.endpoints = [EdgeOf(self, index) for index in range(len(plans))]

    def asked(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the process's answer to a message."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise _not_started("the client", self._folder, self._log)
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True)
class EdgeOf:
    """The edge's side of one plan.

    Args:
        edges: the process that holds it.
        index: of the plan.
    """

    edges: Edges
    index: int

    def connect(self) -> None:
        """Begin to open a new connection."""
        self.edges.asked({"plan": self.index, "do": "connect"})

    def await_connection(self) -> None:
        """Wait until the connection is open."""
        self.edges.asked({"plan": self.index, "do": "await"})

    def close(self) -> None:
        """Close the connection."""
        self.edges.asked({"plan": self.index, "do": "close"})

    def ask(self, sample: int, *, always: bool = False) -> TimedRequest:
        """Answer a sample."""
        return TimedRequest(**self.edges.asked({"plan": self.index, "do": "ask", "sample": sample, "always": always}))
