"""A bundle checked on a board: it is copied there, and its own program runs its files. Desk side."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.boards.host import Host
from hwnas.errors import HostAway, RunError, raised
from hwnas.export.companions.program import PROGRAM
from hwnas.io.command import command_line
from hwnas.verify.findings import Verification
from hwnas.verify.outputs import compare_quality

UNPACK = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2])
"""
REMOVE = "import os, shutil, sys; shutil.rmtree(sys.argv[2], ignore_errors=True); os.remove(sys.argv[1])"
COMMAND_SECONDS = 900.0
TIMING_SECONDS = "5"


@dataclass(frozen=True)
class BoardFolder:
    """A folder on a host, which is there while it is used.

    Args:
        host: the board.
        python: there.
        path: of the folder there.
    """

    host: Host
    python: str
    path: str

    @classmethod
    @contextmanager
    def holding(
        cls, host: Host, python: str, kind: str, pack: Callable[[zipfile.ZipFile], None]
    ) -> Iterator[BoardFolder]:
        """Send what `pack` writes into an archive, and remove it from the board in the end.

        Raises:
            HostAway: the board cannot be reached.
        """
        folder = cls(host, python, f"{host.folder}/{kind}-{uuid.uuid4().hex[:12]}")
        folder.run([python, "-c", ""])  # before anything is left there that only it can remove
        folder.run(["mkdir", "-p", host.folder])
        with tempfile.TemporaryDirectory(prefix="hwnas-") as temporary:
            archive = Path(temporary) / "sent.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
                pack(packed)
            folder._done(host.send(archive, f"{folder.path}.zip"))
        try:
            folder.run([python, "-c", UNPACK, f"{folder.path}.zip", folder.path])
            yield folder
        finally:
            folder.run([python, "-c", REMOVE, f"{folder.path}.zip", folder.path])

    def run(self, words: Sequence[str], *, check: bool = True) -> tuple[int, str, str]:
        """Run a command there; return its exit code, output and complaints.

        Raises:
            HostAway: the board cannot be reached, or the command failed and `check` is true.
        """
        return self._done(self.host.command(words), check=check)

    def _done(self, command: Sequence[str], *, check: bool = True) -> tuple[int, str, str]:
        try:
            done = subprocess.run(
                list(command), capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._away(str(error)) from error
        if self.host.is_cut(done.returncode, done.stderr) or (check and done.returncode):
            raise self._away(done.stderr or f"{command_line(command)} ended with code {done.returncode}")
        return done.returncode, done.stdout, done.stderr

    def _away(self, message: str) -> HostAway:
        cause = next((one for one in self.host.causes if one.words in message), None)
        first = (message.strip().splitlines() or ["no message"])[-1]
        return HostAway(
            cause.met if cause else f"the board cannot be used ({first})",
            where=self.host.name,
            allowed="The board is reached by the system's ssh or adb, and has Python",
            do=cause.do.format(host=self.host.name)
            if cause
            else f"Try `{self.python} --version` there, or name another",
        )


@dataclass(frozen=True)
class BoardCheck:
    """A folder of a bundle on a host.

    Args:
        host: the board.
        python: there, with numpy and one runtime.
    """

    host: Host
    python: str = "python3"

    def check(self, folder: Path, names: Sequence[str], data: Path | None, drop: float, result: Verification) -> None:
        """Run the bundle's self-test and timing on the board, and its quality where there are data.

        Args:
            folder: of the bundle.
            names: of its files.
            data: archive of raw inputs and targets.
            drop: by how much the quality may be worse than the manifest's.
            result: gets findings and numbers.

        Raises:
            HostAway: the board cannot be reached.
            RunError: its Python or numpy is missing.
        """
        with BoardFolder.holding(self.host, self.python, "verify", partial(_pack, folder, names, data)) as there:
            self._self_test(there, folder, result)
            if data is not None:
                self._quality(there, folder, data.name, drop, result)
            timed = list(self._program(there, "--time", TIMING_SECONDS))
            result.measured["latency"] = {one["file"]: one for one in timed}
            result.checked.append(f"latency on {self.host.name}")

    def _quality(self, there: BoardFolder, folder: Path, data: str, drop: float, result: Verification) -> None:
        rows = {one["file"]: one for one in self._program(there, "--accuracy", f"{there.path}/{data}")}
        for name, one in rows.items():
            compare_quality(folder / name, one, drop, result)
        result.measured["quality"] = rows
        result.checked.append(f"quality on {self.host.name}")

    def _self_test(self, there: BoardFolder, folder: Path, result: Verification) -> None:
        numbers = {}
        for one in self._program(there, "--selftest"):
            numbers[one["file"]] = one
            if not one["ok"]:
                result.find(
                    "selftest_differs",
                    f"{one['file']} gives other outputs on {self.host.name}: {one['max_difference']:.3g} apart, "
                    f"{one['tolerance']:.3g} is allowed",
                    folder / "selftest.npz",
                )
        result.measured["selftest"] = numbers
        result.checked.append(f"self-test on {self.host.name} of {', '.join(numbers) or 'no file'}")

    def _program(self, there: BoardFolder, *arguments: str) -> Iterator[dict[str, Any]]:
        done = there.run([self.python, f"{there.path}/{PROGRAM}", "--json", *arguments], check=False)
        return program_rows(*done, python=self.python, where=self.host.name)


def program_rows(code: int, out: str, complaints: str, *, python: str, where: str) -> Iterator[dict[str, Any]]:
    """Yield what a bundle's program printed, a row for each file.

    Args:
        code: exit code.
        out: standard output.
        complaints: standard error.
        python: that ran it.
        where: it ran.

    Raises:
        RunError: it could not run.
    """
    if code not in (0, 1) or (code and not out.strip()):
        lines = complaints.strip().splitlines() or [f"it ended with code {code}"]
        raise RunError(
            f"the bundle's program cannot run there ({lines[0]})",
            where=where,
            allowed=f"`{python}` is Python 3.9 or newer with numpy and a runtime of the bundle's files",
            do="Install what requirements-*.txt of the bundle list, or name another Python",
        )
    try:
        yield from map(json.loads, out.splitlines())
    except ValueError as error:
        raise RunError(
            f"the bundle's program printed something else than its rows ({raised(error)})",
            where=where,
            allowed="A row of JSON for each file is printed, and nothing beside it",
            do="Run `predict.py --json` of the bundle there to see what it prints",
        ) from error


def _pack(folder: Path, names: Sequence[str], data: Path | None, packed: zipfile.ZipFile) -> None:
    for name in names:
        if (folder / name).is_file():
            packed.write(folder / name, name)
    if data is not None:
        packed.write(data, data.name)
