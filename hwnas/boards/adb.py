"""Android phones by adb. Desk side."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hwnas.boards.host import FailureHint


@dataclass(frozen=True)
class Adb:
    """A device by its serial number, or the only one there is."""

    serial: str
    folder: ClassVar[str] = "/data/local/tmp/hwnas"
    python_hint: ClassVar[str] = (
        "Android has no Python of its own: install Termux, in it python and numpy and a runtime, and reach it by ssh "
        "(docs/how-to/boards.md), or name a Python that adb's user may run with --python"
    )
    causes: ClassVar[Sequence[FailureHint]] = (
        FailureHint("unauthorized", "the phone has not allowed this machine", "Unlock it and answer its question"),
        FailureHint(
            "no devices", "no phone is connected", "Connect it, switch USB debugging on, look at `adb devices`"
        ),
        FailureHint("more than one", "several phones are connected", "Name one: `adb:SERIAL`, from `adb devices`"),
        FailureHint("not found", "no phone of this serial number is connected", "Look at `adb devices`"),
        FailureHint("offline", "the phone does not answer", "Unplug it and connect it again", lasting=False),
        FailureHint("closed", "the connection to the phone broke", "Look at the cable", lasting=False),
    )

    @staticmethod
    def named(name: str, *, ssh_config: Path | None = None) -> Adb:
        """Return the phone of a serial number."""
        return Adb(name)

    @property
    def name(self) -> str:
        """Name as the user wrote it."""
        return f"adb:{self.serial}"

    def command(self, words: Sequence[str]) -> list[str]:
        """Return `adb shell` without a terminal, and the words as one quoted line for the phone's shell."""
        return [*self._adb, "shell", "-T", shlex.join(words)]

    def send(self, file: Path, remote: str) -> list[str]:
        """Return the words of `adb push`."""
        return [*self._adb, "push", str(file.absolute()), remote]

    def fetch(self, remote: str, file: Path) -> list[str]:
        """Return the words of `adb pull`."""
        return [*self._adb, "pull", remote, str(file.absolute())]

    def is_cut(self, code: int, message: str) -> bool:
        """Return whether adb itself failed: it says so in lines that begin with its name or with `error:`."""
        return any(line.startswith(("adb:", "error:")) for line in message.splitlines())

    @property
    def _adb(self) -> list[str]:
        return ["adb", *(["-s", self.serial] if self.serial else [])]
