"""A real OpenSSH server on loopback, started by the test itself, with keys and files of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwnas.measure.device_lock import LOCKS_VARIABLE

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")

SFTP = next(
    (path for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
     if Path(path).exists()), "sftp-server",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """`ssh_config` reaches it as `board`, whose home is a folder of the test."""

    process: subprocess.Popen[bytes]
    ssh_config: Path
    home: Path

    def drop(self) -> None:
        """End all connections, as a cable that is pulled."""
        sessions = _children([self.process.pid])
        for pid in [*sessions, *_children(sessions)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _children(parents: list[int]) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) in parents:
                found.append(int(stat.parent.name))
    return found


def start_server(folder: Path, python: str = sys.executable, environment: Mapping[str, str] | None = None) -> Server:
    """The server in a folder; skips where there is none. On the board, `python3` is `python`, in this environment."""
    if SSHD is None or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        pytest.skip("no OpenSSH server: install openssh-server and openssh-client")
    home, port = folder / "home", _free_port()
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python3").write_text(f'#!/bin/sh\nexec {python} -I "$@"\n')
    (home / "bin" / "python3").chmod(0o755)
    for name in ("host_key", "user_key", "other_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    # What logs in begins in the test's folder: every command goes through this one.
    told = {LOCKS_VARIABLE: os.environ[LOCKS_VARIABLE], "HOME": str(home), **(environment or {})}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items())
    (folder / "enter").write_text(
        f'#!/bin/sh\ncd {home}\n{exports}export PATH={home}/bin:$PATH\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    (folder / "enter").chmod(0o755)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n"
        f"PermitRootLogin yes\nSubsystem sftp {SFTP}\nMatch all\n  ForceCommand {folder}/enter\n"
    )
    host_key = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    (folder / "ssh_config").write_text(
        f"Host board board2\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        f"  GlobalKnownHostsFile none\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up its rights
    log = open(folder / "sshd.log", "wb")  # noqa: SIM115
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    log.close()
    _wait_for(port, process, folder / "sshd.log")
    return Server(process, folder / "ssh_config", home)


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server for as long as it is needed."""
    server = start_server(folder)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"sshd did not start: {log.read_text()}")
