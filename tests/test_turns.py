"""Laws of taking turns on a device: real processes that measure, that are killed, that wait in vain."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from torch import nn

from hwnas.errors import HostAway
from hwnas.export.onnx import export_onnx
from hwnas.measure.device_lock import DEVICE, LOCKS_VARIABLE, NEXT, LockWait, exclusive_device
from hwnas.measure.session import time_files
from hwnas.measure.worker_process import LAUNCHER
from hwnas.runtimes import open_runtime
from tests.helpers.experiments import written
from tests.helpers.measuring import QUICK, spans, witness
from tests.helpers.sshd import Server, start_server

TIME = """
import sys
from pathlib import Path
from hwnas.measure.device_lock import LockWait
from hwnas.measure.session import time_files
from hwnas.runtimes import open_runtime
from tests.helpers.measuring import QUICK
for _ in range(int(sys.argv[2])):
    found = time_files([Path(sys.argv[1])], open_runtime("onnxruntime"), QUICK, queue=LockWait(60, print))
    assert found.measured, found.failed
"""
HOLD = """
import sys, time
from hwnas.measure.device_lock import LockWait, exclusive_device
with exclusive_device(LockWait()):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device of this test's own."""
    folder = tmp_path / "locks"
    folder.mkdir()
    monkeypatch.setenv(LOCKS_VARIABLE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return export_onnx(nn.Conv2d(4, 2, 3), (4, 8, 8), tmp_path / "model.onnx")


def begun(repository: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.fixture
def holder(repository: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that measures, as far as others can tell."""
    process = begun(repository, HOLD)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n", process.communicate()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_processes_that_know_nothing_of_each_other_never_measure_at_once(
    tmp_path: Path, repository: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "spans"
    monkeypatch.setenv(LAUNCHER, witness(log))
    both = [begun(repository, TIME, str(model), "2") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = spans(log)
    assert len(found) == 2 * 2 * QUICK.processes
    assert all(first[1] <= second[0] for first, second in pairwise(found)), found
    assert "the device is busy: process" in said[0][0] + said[1][0]


def test_who_held_the_device_last_does_not_overtake_who_waits(locks: Path) -> None:
    with exclusive_device(LockWait(0)):
        pass
    with open(locks / NEXT, "r+b") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(HostAway), exclusive_device(LockWait(0)):
            raise AssertionError("it went past the one who waits")
    with exclusive_device(LockWait(0)):
        pass


def test_a_wait_says_for_whom_and_ends_in_an_error_that_says_what_to_do(
    holder: subprocess.Popen[str], model: Path
) -> None:
    said: list[str] = []
    with pytest.raises(HostAway, match=r"the device is busy, and 0\.5 s were waited") as caught:
        time_files([model], open_runtime("onnxruntime"), QUICK, queue=LockWait(0.5, said.append))
    assert len(said) == 1, "once, however long it takes"
    assert f"process {holder.pid} of " in said[0]
    assert "measures there since 2" in said[0]
    assert f"process {holder.pid} of " in caught.value.met
    assert "timing.device_lock_timeout_s" in caught.value.do
    assert caught.value.allowed


def test_a_killed_process_holds_nothing(holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with exclusive_device(LockWait(0)):
        pass


@pytest.mark.slow
def test_the_device_is_held_until_the_measuring_process_of_a_killed_one_has_ended(
    tmp_path: Path, repository: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "spans"
    monkeypatch.setenv(LAUNCHER, witness(log, pause_s=1.0))
    process = begun(repository, TIME, str(model), "1")
    device = Path(os.environ[LOCKS_VARIABLE]) / DEVICE
    until = time.monotonic() + 60
    while not (device.exists() and children(process.pid)):
        assert time.monotonic() < until, process.communicate()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    with exclusive_device(LockWait(30)):
        now = time.monotonic()
    assert spans(log)[-1][1] <= now
    process.communicate()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_another_user_left_can_be_held_and_every_user_may_write_it(locks: Path) -> None:
    with exclusive_device(LockWait(0)):
        assert json.loads((locks / DEVICE).read_text())["pid"] == os.getpid()
    assert (locks / DEVICE).read_text() == ""
    assert {path.stat().st_mode & 0o777 for path in (locks / DEVICE, locks / NEXT)} == {0o666}
    with exclusive_device(LockWait(0)):
        pass


def test_a_file_that_was_cleaned_away_while_it_was_held_holds_nobody_off(locks: Path) -> None:
    with exclusive_device(LockWait(0)):
        (locks / DEVICE).unlink()
        with exclusive_device(LockWait(0)):
            assert (locks / DEVICE).exists()


@pytest.mark.parametrize("name", [DEVICE, NEXT])
@pytest.mark.parametrize("kind", ["hard link", "soft link", "pipe", "folder"])
def test_only_a_file_of_its_own_is_taken_for_the_lock(locks: Path, name: str, kind: str) -> None:
    other = locks / "thesis.txt"
    other.write_text("two years of work")
    made = {
        "hard link": lambda path: path.hardlink_to(other), "soft link": lambda path: path.symlink_to(other),
        "pipe": os.mkfifo, "folder": Path.mkdir,
    }  # fmt: skip
    made[kind](locks / name)
    begin = time.monotonic()
    with (
        pytest.raises(HostAway, match="the device cannot be locked: its lock is") as caught,
        exclusive_device(LockWait(9)),
    ):
        pass
    assert time.monotonic() - begin < 5
    assert str(locks / name) in caught.value.where
    assert "Remove it" in caught.value.do
    assert other.read_text() == "two years of work"


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(HostAway, match="the device cannot be locked") as caught, exclusive_device(LockWait()):
        pass
    assert LOCKS_VARIABLE in caught.value.do


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", '{"pid": 1}'])
def test_whatever_stands_in_the_file_a_wait_can_be_told(
    holder: subprocess.Popen[str], locks: Path, content: str
) -> None:
    (locks / DEVICE).write_text(content)
    with pytest.raises(HostAway, match="has not said which"), exclusive_device(LockWait(0)):
        pass


DESK = """
import sys
from pathlib import Path
from hwnas.problem.live import SetupHost
from hwnas.workspace.workspace import open_run
from tests.helpers.measuring import network
from tests.helpers.narration import Telling
telling = Telling()
run = open_run(Path(sys.argv[1]), runs=Path(sys.argv[1]).parent / "runs")
timed = SetupHost(run, "board", run.experiment.tiers["edge"].live, telling).time(network())
assert len(timed.measurement.rounds_ns) == run.experiment.timing.rounds
print("; ".join(telling.lines))
"""


@pytest.fixture
def server(tmp_path: Path, locks: Path) -> Iterator[Server]:
    server = start_server(tmp_path / "sshd", environment={LAUNCHER: witness(tmp_path / "spans", 0.5)})
    yield server
    server.process.kill()
    server.process.wait()


def test_two_desks_that_reach_one_board_by_ssh_never_measure_on_it_at_once(
    tmp_path: Path, repository: Path, server: Server
) -> None:
    setup = {"runtime": "onnxruntime", "host": "board", "ssh_config": str(server.ssh_config)}
    tiers = {"edge": {"setup": "board", "measure": "live"}}
    desks = [written(tmp_path / name, setups={"board": setup}, tiers=tiers) for name in ("one", "two")]
    processes = [begun(repository, DESK, str(path)) for path in desks]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    found = spans(tmp_path / "spans")
    assert len(found) == 2
    assert found[0][1] <= found[1][0]
