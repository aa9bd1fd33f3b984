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
"""Characters that no name of a host or a device has, and that a shell may interpret."""


@dataclass(frozen=True)
class FailureHint:
    """Reason why a program that should reach a board failed, recognised by words of its output."""

    words: str
    met: str
    do: str
    lasting: bool = True
    """True if trying again is in vain."""


class Host(Protocol):
    """Board and how it is reached. Commands are lists for this machine's system; none goes through its shell."""

    @property
    def name(self) -> str:
        """Name as the user wrote it."""

    @property
    def folder(self) -> str:
        """Folder on the board in which kits and tables are kept."""

    @property
    def causes(self) -> Sequence[FailureHint]:
        """Possible reasons why the board is not reached; the first one whose words occur in the output applies."""

    @property
    def python_hint(self) -> str:
        """Advice where the board has no Python."""

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs words as one command on the board, each quoted against its shell."""

    def send(self, file: Path, remote: str) -> list[str]:
        """Return the command that copies a file to the board."""

    def fetch(self, remote: str, file: Path) -> list[str]:
        """Return the command that copies a file from the board."""

    def is_cut(self, code: int, message: str) -> bool:
        """Return whether an exit code and standard error are from the connection, not from what ran on the board."""


def open_host(reference: str, *, ssh_config: Path | None = None) -> Host:
    """Return a reference's host: `pi@raspberrypi`, a name in ~/.ssh/config, `adb:SERIAL`, `adb:` for the only phone.

    Raises:
        ConfigError: the name begins with `-`, or holds what a shell would read, or there is no such file for ssh.
    """
    kind, colon, rest = reference.partition(":")
    named = colon and kind in HOSTS and not rest.startswith(":")
    kind, name = (kind, rest) if named else ("ssh", reference)
    port = kind == "ssh" and name.count(":") == 1  # an IPv6 address has more
    if name.startswith("-") or "@-" in name or SHELL.search(name) or port or (not name and kind != "adb"):
        known = did_you_mean(kind, HOSTS)
        raise ConfigError(
            f"`{reference}` names no host",
            where="host",
            allowed="`user@board` or a name in ~/.ssh/config, without a leading `-`, spaces and characters of a shell; "
            f"or `adb:SERIAL`. {known}",
            do="Correct it; a port or a key of its own stands in ~/.ssh/config",
        )
    host: Host = member(HOSTS, kind, what="kind of host", where="host").named(name, ssh_config=ssh_config)
    return host
