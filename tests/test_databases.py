"""Laws of studies in real databases, also behind Optuna's gRPC proxy, and when the server goes away for a moment."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, HwnasError, MissingExtra, RunError
from hwnas.search.storage.backends import open_storage
from hwnas.search.storage.retry import retry
from hwnas.search.study import open_study
from tests.helpers.databases import DATABASES, Database, free_port
from tests.helpers.experiments import published
from tests.helpers.processes import fronts, searches
from tests.helpers.studies import PLAN, asked, keys, scored

pytestmark = pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
# SQLAlchemy's pool keeps connections to the end, and psycopg minds


@pytest.fixture(scope="module", params=list(DATABASES))
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        server = DATABASES[request.param](Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gc.collect()


def test_two_share_a_study_in_a_database_that_goes_away_for_a_moment(server: Database) -> None:
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
    one.sync()
    assert len(one.evaluations) == 4
    assert set(keys(one)) == set(keys(two))
    one.close()
    two.close()


def test_two_processes_that_search_in_a_database_tell_every_trial_once(
    server: Database, tmp_path: Path, repository: Path
) -> None:
    search = {"trials": 10, "sampler": "random", "storage": server.url}
    experiment = published(tmp_path, name="both", search=search)
    searches(repository, *([str(experiment), "--runs", str(tmp_path / name)] for name in ("b", "c")))
    first, second = fronts(tmp_path / "b" / "both", tmp_path / "c" / "both")
    assert first == second
    backend, _ = open_storage(server.url)
    (study,) = (study for study in backend.get_all_studies() if study.study_name.startswith("both-"))
    told = [
        trial.user_attrs["key"] for trial in backend.get_all_trials(study._study_id) if trial.state.name == "COMPLETE"
    ]
    assert len(told) == len(set(told)) == 10


def test_many_clients_reach_the_database_through_one_server(server: Database, repository: Path) -> None:
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
        two.sync()
        one.close()
        two.close()
    finally:
        served.kill()
        served.communicate()
    direct = open_study(PLAN, server.url, name="served", shared=True)
    assert direct.evaluations == two.evaluations
    assert len(direct.evaluations) == 3


@pytest.mark.parametrize(
    ("url", "kind", "met"),
    [
        ("nonsense://x", ConfigError, "is no URL of a database"),
        ("garbage", ConfigError, "is no URL of a database"),
        ("mysql+nobody://me:secret@localhost/x", ConfigError, "is no URL of a database"),
        ("mssql+pymssql://me:secret@localhost/x", MissingExtra, "the driver of the database cannot be imported"),
        ("sqlite:////nowhere/x.db", RunError, "the database cannot be used .unable to open database file"),
        (f"sqlite:///{__file__}", RunError, "the database cannot be used .file is not a database"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_in_four_parts_without_its_password(
    url: str, kind: type[HwnasError], met: str
) -> None:
    with pytest.raises(kind, match=met) as caught:
        open_storage(url)
    assert caught.value.do
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer_is_told_at_once(server: Database) -> None:
    pytest.importorskip("psycopg")
    nobody = server.url.replace("localhost", "127.0.0.1").rpartition(":")[0] + f":{free_port()}/x"
    with pytest.raises(RunError, match="the database cannot be used"):
        open_storage(nobody)


def test_a_storage_that_stays_away_is_told_in_four_parts() -> None:
    def away() -> None:
        raise ConnectionError("no route")

    with pytest.raises(RunError, match=r"did not answer for 1 s \(no route\)") as caught:
        retry(away, patience_s=1, sleep=lambda seconds: None)
    assert "same command" in caught.value.do
