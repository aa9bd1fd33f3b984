"""Real database servers, each in a folder of its own that is thrown away, started by the tests that need them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

import pytest

POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
MARIADB = shutil.which("mariadbd", path=f"/usr/sbin:{os.environ['PATH']}")


class Database(Protocol):
    """A server that can be stopped, as by a power cut, and started again."""

    @property
    def url(self) -> str:
        """As an experiment names it."""

    def start(self) -> None:
        """Returns when it answers."""

    def stop(self) -> None:
        """At once: whoever is connected is cut off."""


class PostgreSql:
    """Debian's PostgreSQL; skips where there is none."""

    def __init__(self, folder: Path) -> None:
        if not POSTGRESQL:
            pytest.skip("there is no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
        pytest.importorskip("psycopg", reason='psycopg is not here: pip install "hwnas[postgres]"')
        self.folder, self.port, self._as = folder, free_port(), user_of(folder, "postgres")
        self._do("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "hwnas", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://hwnas@localhost:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c fsync=off -c listen_addresses=localhost -k {self.folder}"
        self._do("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._do("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")

    def _do(self, name: str, *arguments: str) -> None:
        run([str(POSTGRESQL[-1] / name), *arguments], self._as)


class MariaDb:
    """Debian's MariaDB, which speaks as MySQL does; skips where there is none."""

    def __init__(self, folder: Path) -> None:
        if MARIADB is None:
            pytest.skip("there is no mariadbd: apt-get install mariadb-server-core mariadb-client-core")
        pytest.importorskip("pymysql", reason='PyMySQL is not here: pip install "hwnas[mysql]"')
        self.folder, self.port, self._as = folder, free_port(), user_of(folder, "nobody")
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS studies;\nCREATE USER IF NOT EXISTS hwnas@localhost;\n"
            "GRANT ALL ON studies.* TO hwnas@localhost;\n"
        )
        install = shutil.which("mariadb-install-db", path=f"/usr/bin:{os.environ['PATH']}")
        assert install, "it comes with the server"
        run([install, "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"], self._as)

    @property
    def url(self) -> str:
        return f"mysql+pymysql://hwnas@localhost:{self.port}/studies"

    def start(self) -> None:
        assert MARIADB is not None
        with open(self.folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [MARIADB, "--no-defaults", f"--datadir={self.folder}/data", f"--port={self.port}",
                 "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
                 f"--init-file={self.folder}/init.sql", "--innodb-flush-log-at-trx-commit=2"],
                stdout=log, stderr=log, **self._as,
            )  # fmt: skip
        until = time.monotonic() + 60
        while not answers(self.port):
            assert self._server.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.1)

    def stop(self) -> None:
        assert self._server is not None
        self._server.kill()
        self._server.wait()


DATABASES: dict[str, type[PostgreSql] | type[MariaDb]] = {"postgresql": PostgreSql, "mariadb": MariaDb}


def user_of(folder: Path, name: str) -> dict[str, Any]:
    """As whom a server runs, which none of them does as root; the folder becomes that user's."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    shutil.chown(folder, name)
    return {"user": name, "cwd": "/"}


def run(command: list[str], options: dict[str, Any]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        port: int = taken.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
