"""Laws of studies that several processes share: nothing is scored twice, nothing told is lost, the dead are buried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hwnas.search.evaluate import Evaluation
from hwnas.search.storage.backends import open_storage
from hwnas.search.storage.heartbeat import Heartbeat
from hwnas.search.storage.shared import MAX_DEATHS
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from tests.helpers.studies import PLAN, SPACE, TIER, asked, keys, scored


@pytest.fixture(params=["journal", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return tmp_path / "study.log" if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "study.log"


def stored(storage: Path | str) -> list[optuna.trial.FrozenTrial]:
    backend, _ = open_storage(storage)
    return backend.get_all_trials(backend.get_all_studies()[0]._study_id)


def test_alone_in_a_shared_study_is_as_in_one_of_its_own(storage: Path | str) -> None:
    whole = open_study(PLAN)
    whole.run(scored, 7)
    shared = open_study(PLAN, storage, shared=True)
    shared.run(scored, 4)
    shared.close()
    again = open_study(PLAN, storage, shared=True)
    again.run(scored, 7)
    assert again.evaluations == whole.evaluations
    assert all(trial.state == TrialState.COMPLETE for trial in stored(storage))


def test_two_that_take_turns_score_nothing_twice_and_know_what_the_other_told(log: Path) -> None:
    one, two = (open_study(PLAN, log, shared=True) for _ in range(2))
    for _ in range(3):
        trials = [(study, asked(study)) for study in (one, two, one)]
        assert len({trial.architecture.key for _, trial in trials}) == 3
        for study, trial in trials:
            study.tell(trial, scored(trial.architecture))
    one.sync()
    two.sync()
    assert len(one.evaluations) == 9
    assert set(keys(one)) == set(keys(two)) == {t.user_attrs["key"] for t in stored(log)}


def test_of_two_claims_of_one_architecture_the_first_counts(log: Path) -> None:
    one, two = (open_study(PLAN, log, shared=True) for _ in range(2))
    kept = two._kept
    assert kept is not None
    proposal = two._propose()  # before the other one's claim is seen
    assert proposal is not None
    first = asked(one)
    assert two._genome.decode(proposal.params) == first.architecture
    proposal.user_attrs = {"key": first.architecture.key, "architecture": first.architecture.as_dict()}
    assert not kept.claim(proposal, None)
    assert asked(two).architecture != first.architecture
    one.tell(first, scored(first.architecture))
    assert Counter(t.state for t in stored(log)) == {
        TrialState.COMPLETE: 1, TrialState.FAIL: 1, TrialState.RUNNING: 1,
    }  # fmt: skip
    assert len(open_study(PLAN, log, shared=True).evaluations) == 1


def test_what_is_given_back_is_asked_again_at_once(log: Path) -> None:
    one, two = (open_study(PLAN, log, shared=True) for _ in range(2))
    first = asked(one)
    one.close()
    assert asked(two).architecture == first.architecture


def test_a_claim_whose_process_elsewhere_falls_silent_is_taken_over_and_its_late_result_is_dropped(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.search.storage.heartbeat.host_id", lambda: "elsewhere")
    silent = open_study(PLAN, log, shared=True, heartbeat_timeout_s=1000)
    late = asked(silent)
    monkeypatch.undo()
    study = open_study(PLAN, log, shared=True, heartbeat_timeout_s=0.05)
    assert asked(study).architecture != late.architecture, "it may live"
    time.sleep(0.1)
    again = asked(study)
    assert again.architecture == late.architecture
    study.tell(again, scored(again.architecture))
    silent.tell(late, Evaluation(late.architecture, {}, failed="too late"))
    assert silent.evaluations == study.evaluations == (scored(again.architecture),)


def test_a_beat_is_life() -> None:
    presence = Heartbeat(lambda name, card: None, heartbeat_timeout_s=0.05)
    elsewhere = {"place": "elsewhere", "pid": 1, "born": "1", "beat": 0}
    for beat in range(4):
        assert presence.is_alive("other", {**elsewhere, "beat": beat})
        time.sleep(0.03)
    time.sleep(0.06)
    assert not presence.is_alive("other", {**elsewhere, "beat": 3})


def workers(log: Path) -> set[str]:
    return {trial.user_attrs["worker"] for trial in stored(log)}


WORK = """
import sys, time
from pathlib import Path
from hwnas.search.study import open_study
from tests.helpers.studies import PLAN, scored

def slow(architecture):
    time.sleep(float(sys.argv[2]))
    return scored(architecture)

study = open_study(PLAN, Path(sys.argv[1]), shared=True)
print("ready", flush=True)
sys.stdin.readline()
study.run(slow, 30)
study.close()
"""


@pytest.mark.slow
def test_processes_share_the_work_and_outlive_one_that_is_killed(log: Path, repository: Path) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORK, str(log), str(seconds)]
        return subprocess.Popen(command, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    victim, *others = processes = [start(60), start(0.02), start(0.02)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    deadline = time.monotonic() + 60
    while sum(t.state == TrialState.COMPLETE for t in stored(log)) < 10 or len(workers(log)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in others] == [0, 0]
    told = [trial for trial in stored(log) if trial.state == TrialState.COMPLETE]
    assert len(told) == len({trial.user_attrs["key"] for trial in told}) == 30
    assert len({trial.user_attrs["worker"] for trial in told}) == 2, "both have worked"
    (lost,) = [t for t in stored(log) if t.user_attrs.get("abandoned") == "its process died"]
    assert lost.user_attrs["key"] in {trial.user_attrs["key"] for trial in told}, "it was scored by another one"


def test_an_architecture_that_kills_its_processes_ends_as_failed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = StudySpec(SPACE, TIER, "random", seed=1)
    killers = set()
    for number in range(MAX_DEATHS + 1):  # one process number, unlike births: those before are dead
        monkeypatch.setattr("hwnas.search.storage.heartbeat.process_start_time", lambda pid, number=number: str(number))
        study = open_study(plan, log, shared=True)
        if number < MAX_DEATHS:
            killers.add(asked(study).architecture)
    (killer,) = killers
    assert asked(study).architecture != killer
    (failed,) = [evaluation for evaluation in study.evaluations if evaluation.failed]
    assert failed.architecture == killer
    assert failed.failed == f"{MAX_DEATHS} processes died while they scored it"


def test_a_line_that_a_killed_process_cut_off_is_dropped_by_those_that_go_on(log: Path) -> None:
    study = open_study(PLAN, log, shared=True)
    study.run(scored, 3)
    with log.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    study.run(scored, 6)
    assert all(json.loads(line) for line in log.read_bytes().splitlines())
    assert len(open_study(PLAN, log, shared=True).evaluations) == 6
