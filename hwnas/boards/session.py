"""Visiting a board: a kit is brought there and run, its progress streamed, its table fetched. Desk side."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.boards.host import Host
from hwnas.errors import HostAway, HwnasError, RunError
from hwnas.io.checksum import sha256_of
from hwnas.io.command import command_line
from hwnas.latency.tables.merge import add_table
from hwnas.measure.events import Progress

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
TABLE, KIT, PARTIAL_KIT = "table.jsonl", "kit.pyz", "kit.part"
NOT_FOUND = (126, 127)
"""Exit codes of a shell that finds no such command."""
LOOK = """
import hashlib, json, os, shutil, sys
folder, digest = sys.argv[1:]
table, kit, part = (os.path.join(folder, name) for name in ("table.jsonl", "kit.pyz", "kit.part"))
def digest_of(path):
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                found.update(chunk)
    except OSError:
        return ""
    return found.hexdigest()
os.makedirs(folder, exist_ok=True)
if digest and digest_of(part) == digest:
    os.replace(part, kit)
print(json.dumps({"kit": digest_of(kit) == digest, "free": shutil.disk_usage(folder).free,
                  "table": os.path.exists(table)}))
"""
"""Code that any Python 3 runs on the board: it makes the folder, accepts a complete kit, prints what is there."""


class ConnectionLost(HostAway):
    """Raised when the connection to the board broke or was never made; the board keeps what it has."""

    lasting = False
    """True if trying again is in vain."""


@dataclass(frozen=True)
class BoardSession:
    """Folder on a host in which one table is made."""

    host: Host
    key: str
    """Name of the folder there: equal requests continue one table."""
    python: str = "python3"
    """Python on the board that has the runtime."""

    @property
    def folder(self) -> str:
        """Path of the folder on the host."""
        return f"{self.host.folder}/{self.key}"

    def pull_table(self, table: Path) -> int:
        """Add the board's table to the desk's, which is made if there is none, and return how many lines were new.

        Raises:
            ConnectionLost: the board cannot be reached.
            TableError: the tables are of unlike set-ups.
        """
        if not self._look("")["table"]:
            return 0
        with tempfile.TemporaryDirectory(prefix="hwnas-") as folder:
            fetched = Path(folder) / TABLE
            self._done(self.host.fetch(f"{self.folder}/{TABLE}", fetched))
            return add_table(fetched, table) if fetched.read_bytes() else 0

    def push_kit(self, kit: Path) -> None:
        """Copy a kit there, if it is not there.

        Raises:
            ConnectionLost: the board cannot be reached.
            RunError: it has no room, or what arrives is not what was sent.
        """
        digest, size = sha256_of(kit), kit.stat().st_size
        state = self._look(digest)
        if state["kit"]:
            return
        if state["free"] < size:
            raise self._failed(
                f"the kit has {size / 1e6:.1f} MB, {state['free'] / 1e6:.1f} MB are free", "Free the board's disk"
            )
        self._done(self.host.send(kit, f"{self.folder}/{PARTIAL_KIT}"))
        if not self._look(digest)["kit"]:
            raise self._failed("the kit that arrived is not the one that was sent", "Run the same command again")

    def run(self, progress: Progress, say: Say, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """Run the kit that was copied, until its table is complete, and return its last message.

        Raises:
            ConnectionLost: the connection broke.
            HwnasError: the kit's own error, or it ended without a message.
        """
        words = [self._python, f"{self.folder}/{KIT}", "--attended", "--out", f"{self.folder}/{TABLE}", *arguments]
        logger.info("%s: the kit is started", self.host.name)
        with tempfile.TemporaryFile("w+") as complaints:
            process = self._start(self.host.command(words), complaints)
            with process:
                try:
                    last = _heard(process, progress, say)
                    code = process.wait()
                except BaseException:
                    process.kill()
                    raise
            complaints.seek(0)
            stderr = complaints.read()
        if "error" in last:
            error = last["error"]
            raise RunError(
                error["met"], where=f"{self.host.name}: {error['where']}", allowed=error["allowed"], do=error["do"]
            )
        if code or "done" not in last:
            raise self._explained(code, stderr)
        done: dict[str, Any] = last["done"]
        return done

    def cleanup(self) -> None:
        """Remove all files that were kept there: the desk has them."""
        code = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
        self._done(self.host.command([self._python, "-c", code, self.folder]))

    def _look(self, digest: str) -> Any:
        out = self._done(self.host.command([self._python, "-c", LOOK, self.folder, digest]))
        for line in reversed(out.splitlines()):  # a board may greet before it answers
            if reply := _parsed(line):
                return reply
        raise self._failed(f"its Python does not answer ({out.strip()[:100]!r})", "Look at what its shell prints")

    def _done(self, command: Sequence[str]) -> str:
        """Run a command to its end, and return what it prints."""
        with tempfile.TemporaryFile("w+") as complaints:
            process = self._start(command, complaints)
            with process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.close()
                out = process.stdout.read()
            complaints.seek(0)
            if process.returncode:
                raise self._explained(process.returncode, complaints.read())
        return out

    def _start(self, command: Sequence[str], complaints: Any) -> subprocess.Popen[str]:
        logger.debug("%s: %s", self.host.name, command_line(command))
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError as error:
            raise self._failed(f"there is no `{command[0]}` here", f"Install {command[0]}") from error

    @property
    def _python(self) -> str:
        """Python on the board without `~/`: commands begin in the user's home, and a quoted `~` is not expanded."""
        return self.python.removeprefix("~/")

    def _explained(self, code: int, stderr: str) -> HwnasError:
        lines = [line for line in stderr.strip().splitlines() if line.strip()]
        last = lines[-1] if lines else f"it ended with code {code}"
        if self.host.is_cut(code, stderr):
            cause = next((cause for cause in self.host.causes if cause.words in stderr), None)
            problem, do = (cause.met, cause.do) if cause else ("the connection broke", "The same command continues")
            lost = ConnectionLost(
                f"{problem} ({last})",
                where=self.host.name,
                allowed="The board is reached by this system's own program, without questions",
                do=do.replace("{host}", self.host.name),
            )
            lost.lasting = cause is not None and cause.lasting
            return lost
        if code in NOT_FOUND:
            return self._failed(f"there is no `{self.python}` ({last})", self.host.python_hint)
        return self._failed(f"a command there failed ({last})", "Correct that, and run the same command again")

    def _failed(self, problem: str, do: str) -> RunError:
        allowed = "A board needs Python 3.9 or newer, numpy, one runtime, and room for the kit and its files"
        return RunError(problem, where=self.host.name, allowed=allowed, do=do)


def _heard(process: subprocess.Popen[str], progress: Progress, say: Say) -> dict[str, Any]:
    """Read the messages of an attended kit until its output ends, and return the last one."""
    assert process.stdout is not None
    last: dict[str, Any] = {}
    for line in process.stdout:
        message = _parsed(line)
        if "progress" in message:
            progress(*message["progress"])
        elif "say" in message:
            say(message["say"])
        elif message:
            last = message
    return last


def _parsed(line: str) -> dict[str, Any]:
    """Return a line's object, or an empty one: what other programs of the board print is not an answer."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
