"""Laws of studies in a real PostgreSQL, also behind Optuna's gRPC proxy, and when the server goes away for a moment."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas.search.study import open_study
from tests.test_shared import PLAN, asked, keys, scored

pytestmark = pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
# SQLAlchemy's pool keeps connections to the end, and psycopg minds
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """A PostgreSQL of its own, in a folder that is thrown away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._as: dict[str, Any] = {"user": "postgres", "cwd": "/"} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, "postgres")
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
        command = [str(BINARIES[-1] / name), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not BINARIES:
        pytest.skip("there is no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql")
    pytest.importorskip("psycopg", reason='psycopg is not here: pip install "hwnas[postgres]"')
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gc.collect()


def test_two_share_a_study_in_postgresql_which_goes_away_for_a_moment(server: Server) -> None:
    one, two = (open_study(PLAN, server.url, name="away", shared=True) for _ in range(2))
    for study in (one, two, one):
        trial = asked(study)
        study.tell(trial, scored(trial.architecture))
    trial = asked(two)
    server.stop()
    back = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    back.wait()
    server.start()  # the connections of both are dead now
    two.tell(trial, scored(trial.architecture))
    one.catch_up()
    assert len(one.evaluations) == 4
    assert set(keys(one)) == set(keys(two))
    one.close()
    two.close()


def test_many_clients_reach_the_database_through_one_server(server: Server, repository: Path) -> None:
    pytest.importorskip("grpc", reason='grpcio is not here: pip install "hwnas[grpc]"')
    port = free_port()
    code = "import sys; from hwnas.cli import main; main()"
    command = [sys.executable, "-c", code, "serve-storage", server.url, "--port", str(port)]
    served = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE)
    try:
        assert served.stderr is not None
        assert b"serving" in served.stderr.readline()
        time.sleep(0.5)
        one, two = (open_study(PLAN, f"grpc://localhost:{port}", name="served", shared=True) for _ in range(2))
        for study in (one, two, one):
            trial = asked(study)
            study.tell(trial, scored(trial.architecture))
        two.catch_up()
        one.close()
        two.close()
    finally:
        served.kill()
        served.communicate()
    direct = open_study(PLAN, server.url, name="served", shared=True)
    assert direct.evaluations == two.evaluations
    assert len(direct.evaluations) == 3
