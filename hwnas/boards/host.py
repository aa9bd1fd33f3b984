"""Hosts: boards that the desk reaches by the system's programs. A new kind is one file and one row here. Desk side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hwnas.errors import ConfigError, did_you_mean
from hwnas.registry import member

HOSTS: Mapping[str, str] = {  # what stands before the colon -> where it lives; imported on use
    "adb": "hwnas.boards.adb:Adb",
    "ssh": "hwnas.boards.ssh:Ssh",
}
SHELL = re.compile(r"[\s;&|<>$`'\"\\(){}*?!#~^=,/]|[^\x20-\x7e]")
"""What no name of a host or a device holds, and a shell may read as something else."""


@dataclass(frozen=True)
class FailureHint:
    """Why a program that should reach a board failed, told by words of its own."""

    words: str
    met: str
    do: str
    lasting: bool = True
    """Whether trying again is in vain."""


class Host(Protocol):
    """A board and how it is reached. Commands are lists for this machine's system; none goes through a shell of it."""

    @property
    def name(self) -> str:
        """As the user wrote it."""

    @property
    def folder(self) -> str:
        """Where kits and tables are kept on the board."""

    @property
    def causes(self) -> Sequence[FailureHint]:
        """What may be wrong with the way there; the first one whose words are met."""

    @property
    def python_hint(self) -> str:
        """What to do where the board has no Python."""

    def command(self, words: Sequence[str]) -> list[str]:
        """Runs words as one command on the board: each is quoted, so that its shell sees it as it is."""

    def send(self, file: Path, remote: str) -> list[str]:
        """Copies a file to the board."""

    def fetch(self, remote: str, file: Path) -> list[str]:
        """Copies a file from the board."""

    def is_cut(self, code: int, said: str) -> bool:
        """Whether an exit code and words on standard error are those of the way there, not of what ran on the board."""


def open_host(reference: str, *, ssh_config: Path | None = None) -> Host:
    """The host that a user names: `pi@raspberrypi`, a name in ~/.ssh/config, `adb:SERIAL`, `adb:` for the only phone.

    Raises:
        ConfigError: the name begins with `-`, or holds what a shell would read.
    """
    kind, colon, rest = reference.partition(":")
    named = colon and kind in HOSTS and not rest.startswith(":")
    kind, name = (kind, rest) if named else ("ssh", reference)
    port = kind == "ssh" and name.count(":") == 1  # an IPv6 address has more
    if name.startswith("-") or "@-" in name or SHELL.search(name) or port or (not name and kind != "adb"):
        known = did_you_mean(kind, HOSTS)
        raise ConfigError(
            f"`{reference}` names no host", where="host",
            allowed="`user@board` or a name in ~/.ssh/config, without a leading `-`, spaces and characters of a shell; "
            f"or `adb:SERIAL`. {known}",
            do="Correct it; a port or a key of its own stands in ~/.ssh/config",
        )  # fmt: skip
    host: Host = member(HOSTS, kind, what="kind of host", where="host").named(name, ssh_config=ssh_config)
    return host
