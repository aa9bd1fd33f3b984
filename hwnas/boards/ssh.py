"""Boards by ssh and scp, as they are set up here: keys, ports, jumps and known hosts are the user's. Desk side."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hwnas.boards.host import FailureHint
from hwnas.errors import ConfigError

OPTIONS = (
    "-o",
    "BatchMode=yes",  # a question that nobody sees would wait for ever
    "-o",
    "ConnectTimeout=20",
    "-o",
    "ServerAliveInterval=10",
    "-o",
    "ServerAliveCountMax=3",
)
LOST = 255
"""Exit code of ssh itself."""
HAND = "Connect once by hand, `ssh {host}`"


@dataclass(frozen=True)
class Ssh:
    """A destination of ssh; paths on the board begin in the user's home."""

    name: str
    config: Path | None = None
    """File that is read instead of ~/.ssh/config."""
    folder: ClassVar[str] = ".cache/hwnas"
    python_hint: ClassVar[str] = "Install Python 3.9 or newer there, or name it with --python"
    causes: ClassVar[Sequence[FailureHint]] = (
        FailureHint(
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "the host's key is not the one that is known",
            "If the board was set up anew, remove the old key with `ssh-keygen -R {host}`",
        ),
        FailureHint("Host key verification failed", "the host's key is not known", f"{HAND}, and compare the key"),
        FailureHint(
            "Permission denied",
            "the host refuses the key",
            "Make `ssh -o BatchMode=yes {host} true` work, for example by `ssh-copy-id {host}`",
        ),
        FailureHint(
            "Could not resolve hostname", "no host of this name is found", "Correct the name, or use its address"
        ),
        FailureHint("Connection refused", "nobody listens there", "Switch ssh on there, or correct the port"),
        FailureHint("No route to host", "the host cannot be reached", "Look at its network", lasting=False),
        FailureHint("timed out", "the host does not answer", "Look at its network and power", lasting=False),
    )

    @staticmethod
    def named(name: str, *, ssh_config: Path | None = None) -> Ssh:
        """Return the host of a name.

        Raises:
            ConfigError: there is no such file for ssh.
        """
        config = None if ssh_config is None else ssh_config.expanduser()
        if config is not None and not config.is_file():
            raise ConfigError(
                f"there is no file `{ssh_config}` for ssh",
                where="ssh_config",
                allowed="A file as ~/.ssh/config, which ssh reads in its place",
                do="Correct the path, or leave it out",
            )
        return Ssh(name, config)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return `ssh`, and the words as one quoted line for the board's shell."""
        return ["ssh", "-T", *self._options, "--", self.name, shlex.join(words)]

    def send(self, file: Path, remote: str) -> list[str]:
        """Return `scp` to the board; with a whole path, because scp takes `a:b` for a host."""
        return ["scp", "-q", *self._options, "--", str(file.absolute()), f"{self._bracketed}:{remote}"]

    def fetch(self, remote: str, file: Path) -> list[str]:
        """Return `scp` back from the board."""
        return ["scp", "-q", *self._options, "--", f"{self._bracketed}:{remote}", str(file.absolute())]

    def is_cut(self, code: int, message: str) -> bool:
        """Return whether ssh itself failed."""
        return code == LOST or any(cause.words in message for cause in self.causes)

    @property
    def _options(self) -> tuple[str, ...]:
        return OPTIONS if self.config is None else ("-F", str(self.config.absolute()), *OPTIONS)

    @property
    def _bracketed(self) -> str:
        """Name for scp, which wants an IPv6 address in brackets."""
        user, at, address = self.name.rpartition("@")
        return f"{user}{at}[{address}]" if address.count(":") > 1 and not address.startswith("[") else self.name
