"""Laws of searching on Ray: the same architectures as without, nothing lost with a worker, a node or the driver."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError, RunError
from hwnas.search.evaluate import Evaluation
from hwnas.search.progress import Progress
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import open_study
from hwnas.search.workers.cluster import Watched
from hwnas.search.workers.dispatcher import Scoring
from hwnas.search.workers.ray_tune import Workers, run_on_ray
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture
from tests.helpers.nodes import two_nodes
from tests.helpers.ray_workers import scored, slow
from tests.helpers.studies import LIMITED, PLAN, TOP1, keys, score


def make() -> Scoring:
    return scored


def deadly(folder: str) -> Scoring:
    """The first actor to come to its third architecture dies of it, once."""
    seen: list[Architecture] = []

    def score_or_die(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        seen.append(architecture)
        if len(seen) == 3:
            try:
                os.open(f"{folder}/died", os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return scored(architecture, ledger)

    return score_or_die


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_an_error() -> None:
    pytest.importorskip("ray", reason='Ray is not here: pip install "hwnas[ray]"')
    with pytest.raises(ConfigError, match="no Ray cluster can be used"):
        run_on_ray(open_study(PLAN), make, 3, Workers(1, address="127.0.0.1:1"))


def test_a_cluster_that_cannot_be_begun_is_not_the_input_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason='Ray is not here: pip install "hwnas[ray]"')

    def too_late(**_: Any) -> None:
        raise Exception("The current node timed out during startup")

    monkeypatch.setattr(ray, "init", too_late)
    with pytest.raises(RunError, match=r"no Ray cluster can be begun \(The current node timed out"):
        run_on_ray(open_study(PLAN), make, 3, Workers(1))


def unmade() -> Scoring:
    raise ImportError("No module named `mine`")


def crashing() -> Scoring:
    os.kill(os.getpid(), signal.SIGKILL)
    return scored


def telling(folder: str) -> Scoring:
    """An actor that scores leaves its number, and waits for another one's."""

    def score_and_tell(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        (Path(folder) / str(os.getpid())).touch()
        deadline = time.monotonic() + 20
        while len(list(Path(folder).iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return scored(architecture, ledger)

    return score_and_tell


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray's own cluster of two nodes on this machine, begun once."""
    with two_nodes() as cluster:
        yield cluster


def test_one_worker_visits_what_a_serial_search_visits(cluster: Any, tmp_path: Path) -> None:
    serial = open_study(PLAN)
    serial.run(lambda a: score(a, LIMITED), 12)
    store = ScoreStore.open(tmp_path / "scores.jsonl")
    study = open_study(PLAN, tmp_path / "study.log")
    finished = run_on_ray(study, make, 12, Workers(1), store=store, producers={TOP1: "toy"})
    assert study.evaluations == serial.evaluations
    assert finished.trials == 12
    assert len(store) == sum(TOP1 in e.scores for e in study.evaluations), "each score is kept once"


def test_a_killed_worker_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    study = open_study(PLAN, tmp_path / "study.log")
    run_on_ray(study, partial(deadly, str(tmp_path)), 20, Workers(2, batch=2))
    assert (tmp_path / "died").exists()
    assert len(set(keys(study))) == 20
    assert all(evaluation.failed is None for evaluation in study.evaluations)
    assert open_study(PLAN, tmp_path / "study.log").evaluations == study.evaluations


DRIVER = """
import sys
from pathlib import Path
from hwnas.search.study import open_study
from hwnas.search.workers.ray_tune import Workers, run_on_ray
from tests.helpers.ray_workers import slow
from tests.helpers.studies import PLAN
run_on_ray(open_study(PLAN, Path(sys.argv[1])), slow, 400, Workers(1, address=sys.argv[2]))
"""


def test_the_driver_killed_loses_nothing_that_was_told(cluster: Any, tmp_path: Path, repository: Path) -> None:
    log = tmp_path / "study.log"
    command = [sys.executable, "-c", DRIVER, str(log), cluster.address]
    driver = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not log.exists() or log.read_bytes().count(b'"scores"') < 5:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
    before = open_study(PLAN, log).evaluations
    study = open_study(PLAN, log)
    run_on_ray(study, make, len(before) + 5, Workers(1))
    assert study.evaluations[: len(before)] == before
    serial = open_study(PLAN)
    serial.run(lambda a: score(a, LIMITED), len(before) + 5)
    assert study.evaluations == serial.evaluations, "as if it had never been interrupted"


def lethal(key: str) -> Scoring:
    """One architecture kills every actor that scores it."""

    def score_or_die(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        if architecture.key == key:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return scored(architecture, ledger)

    return score_or_die


def by_ray(desk: Any) -> None:
    import ray

    ray.kill(desk)  # type: ignore[no-untyped-call]


def by_the_system(desk: Any) -> None:
    """As a lack of memory does: unlike after `ray.kill`, Ray holds the actor's name while a handle of it is there."""
    import ray

    def process(_: Any) -> int:
        return os.getpid()

    os.kill(ray.get(desk.__ray_call__.remote(process)), signal.SIGKILL)


def killed_one(kill_desk: Callable[[Any], None]) -> bool:
    """Kill a desk; False where there is none, or where the one that is listed is dead already."""
    import ray

    for name in ray.util.list_named_actors():
        if name.startswith("hwnas-desk-"):
            with contextlib.suppress(ValueError, ray.exceptions.RayActorError):
                kill_desk(ray.get_actor(name))
                return True
    return False


@pytest.mark.parametrize("kill_desk", [by_ray, by_the_system])
def test_a_desk_that_dies_again_and_again_loses_nothing_and_no_network_fails_for_it(
    cluster: Any, tmp_path: Path, kill_desk: Callable[[Any], None]
) -> None:

    study, killed = open_study(PLAN, tmp_path / "study.log"), list[int]()

    def kill(progress: Progress) -> None:
        if progress.trials in (4, 8, 12):
            deadline = time.monotonic() + 60
            while not killed_one(kill_desk):
                assert time.monotonic() < deadline, "one is on its way"
            killed.append(progress.trials)

    run_on_ray(study, slow, 20, Workers(2), kill)
    assert killed == [4, 8, 12]
    assert len(set(keys(study))) == 20
    assert all(evaluation.failed is None for evaluation in study.evaluations)
    assert open_study(PLAN, tmp_path / "study.log").evaluations == study.evaluations


def test_what_kills_its_workers_fails_and_is_tried_again_by_the_next_command(cluster: Any, tmp_path: Path) -> None:
    log, first = tmp_path / "study.log", open_study(PLAN).ask()
    assert first is not None
    study = open_study(PLAN, log)
    run_on_ray(study, partial(lethal, first.architecture.key), 6, Workers(2))
    assert [e.architecture for e in study.evaluations if e.failed] == [first.architecture]
    assert study.n_trials == len(set(keys(study))) == 6
    again = open_study(PLAN, log)
    run_on_ray(again, make, 6, Workers(1))
    assert set(keys(again)) == set(keys(study))
    assert all(evaluation.failed is None for evaluation in again.evaluations)


def test_a_service_of_the_cluster_that_is_gone_ends_the_search() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        watched = Watched({"the node": f"127.0.0.1:{server.getsockname()[1]}"})
        for _ in range(3):
            watched.look()
    watched.look()  # it may be busy
    assert watched.gone is None
    watched.look()
    assert "the node has died" in str(watched.gone)


STUCK = """
import threading, time
from hwnas.search.workers.cluster import Watched
watched, left = Watched({"the node": "127.0.0.1:1"}), threading.Event()
threading.Thread(target=watched.guard, args=(left, 0.01, 0.1), daemon=True).start()
time.sleep(60)
"""


def test_a_search_that_is_stuck_in_a_call_to_what_is_gone_ends_and_says_why(repository: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], cwd=repository, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert "the node has died" in ended.stderr
    assert "Run the same command again" in ended.stderr


STARTING = """
import os
from hwnas.errors import RunError
from hwnas.search.workers.cluster import report_abrupt_exit
with report_abrupt_exit(RunError("Ray has ended", where="here", allowed="it starts", do="Run it again")):
    {what}
"""


@pytest.mark.parametrize(("what", "told"), [("os._exit(1)", True), ("pass", False), ("raise SystemExit(1)", False)])
def test_a_start_that_ends_the_process_says_why(what: str, told: bool, repository: Path) -> None:
    code = STARTING.format(what=what)
    ended = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=50)
    assert ended.returncode == (what != "pass")
    assert ended.stderr.startswith("error: here: Ray has ended") == told
    assert ("Run it again" in ended.stderr) == told


def test_ctrl_c_at_a_start_is_answered_once(repository: Path) -> None:
    body = "import signal, time; time.sleep(1); os.killpg(0, signal.SIGINT); time.sleep(50)"
    code = [sys.executable, "-c", STARTING.format(what=body)]
    ended = subprocess.run(
        code, cwd=repository, capture_output=True, text=True, timeout=50, start_new_session=True, check=False
    )
    assert ended.returncode != 0
    assert ended.stderr.count("Traceback") == ended.stderr.count("KeyboardInterrupt") == 1


def test_a_search_that_is_left_in_time_is_not_ended() -> None:
    watched, left = Watched({"the node": "127.0.0.1:1"}), threading.Event()
    guard = threading.Thread(target=watched.guard, args=(left, 0.01, 60))
    guard.start()
    while watched.gone is None:
        time.sleep(0.01)
    left.set()
    guard.join(30)
    assert not guard.is_alive()


def test_a_node_that_is_removed_loses_nothing(cluster: Any) -> None:
    study, nodes = open_study(PLAN), list(cluster.worker_nodes)

    def remove(progress: Progress) -> None:
        if progress.trials >= 6 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)

    run_on_ray(study, slow, 16, Workers(2), remove)
    assert not nodes
    assert len(set(keys(study))) == 16
    assert all(evaluation.failed is None for evaluation in study.evaluations)


def test_a_worker_that_cannot_be_set_up_stops_the_search_and_says_why(cluster: Any) -> None:
    study = open_study(PLAN)
    with pytest.raises(RunError, match=r"a worker cannot be set up \(ImportError: No module named `mine`\)"):
        run_on_ray(study, unmade, 5, Workers(1))
    assert study.n_trials == 0


def test_workers_that_die_at_their_start_stop_the_search(cluster: Any) -> None:
    study = open_study(PLAN)
    with pytest.raises(RunError, match="3 workers in a row died before they were handed anything"):
        run_on_ray(study, crashing, 5, Workers(1))
    assert study.n_trials == 0


def test_two_workers_score_at_one_time(cluster: Any, tmp_path: Path) -> None:
    study = open_study(PLAN)
    run_on_ray(study, partial(telling, str(tmp_path)), 24, Workers(2, cpus=0.5))
    assert len(list(tmp_path.iterdir())) == 2
