"""Sittings: files timed by fresh processes, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from hwnas.errors import ConfigError
from hwnas.export.onnx import export_onnx
from hwnas.measure import session as sitting
from hwnas.measure.conditions.cores import chosen, pinned_to
from hwnas.measure.conditions.tree import Tree
from hwnas.measure.session import merged, split_sessions, time_files
from hwnas.measure.timing import REFERENCE_CONDITION, Measurement, Timing
from hwnas.runtimes import Runtime, open_runtime

QUICK = Timing(warm_up_ms=0, min_sample_ms=0.05, rounds=6, processes=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [export_onnx(nn.Conv2d(4, n, 3), (4, 8, 8), folder / f"{n}.onnx") for n in (1, 2, 3)]


def test_every_file_gets_its_rounds_from_all_processes_and_a_bad_one_costs_the_others_nothing(
    tmp_path: Path, files: list[Path]
) -> None:
    bad, told = tmp_path / "bad.onnx", list[tuple[int, int]]()
    bad.write_bytes(b"no model")
    found = time_files(
        [*files[:2], bad], open_runtime("onnxruntime"), QUICK, reference=files[2],
        progress=lambda *at: told.append(at),
    )  # fmt: skip
    assert found.measured.keys() == {0, 1}
    assert found.failed.keys() == {2}
    assert "cannot load" in found.failed[2]
    for measurement in found.measured.values():
        assert measurement.conditions["processes"] == [3, 3]
        assert len(measurement.rounds_ns) == len(measurement.conditions[REFERENCE_CONDITION]) == 6
    assert told == [(done, 6, "timing 3 files together") for done in range(1, 7)]


class Crashing:
    """A worker that dies while it loads `deadly`, or, if that is None, while it measures."""

    def __init__(self, deadly: Path | None) -> None:
        self.deadly, self.given = deadly, list[list[Path]]()

    def __call__(
        self, heard: Any, runtime: Runtime, timing: Timing, files: Sequence[Path], reference: Any, lock: int
    ) -> str:
        self.given.append(list(files))
        for place, file in enumerate(files):
            heard.started(place)
            if file == self.deadly:
                return "the measuring process ended with code -11"
        heard.started(None)
        if self.deadly is None:
            return "the measuring process ended with code -9"
        for place in range(len(files)):
            heard.sample(place, {"rounds_ns": [1.0] * timing.rounds, "conditions": {}})
        heard.done()
        return ""


def test_a_file_at_which_the_process_crashes_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, files: list[Path]
) -> None:
    crashing = Crashing(files[1])
    monkeypatch.setattr(sitting, "_in_a_worker", crashing)
    found = time_files(files, open_runtime("onnxruntime"), QUICK)
    assert found.measured.keys() == {0, 2}
    assert found.failed == {1: "the measuring process ended with code -11"}
    assert crashing.given == [files, [files[0], files[2]], [files[0], files[2]]]


def test_a_crash_while_measuring_is_told_for_all(monkeypatch: pytest.MonkeyPatch, files: list[Path]) -> None:
    monkeypatch.setattr(sitting, "_in_a_worker", Crashing(None))
    found = time_files(files, open_runtime("onnxruntime"), QUICK)
    assert not found.measured
    assert found.failed == dict.fromkeys(range(3), "the measuring process ended with code -9")


def test_sittings_hold_everything_once_in_order_within_their_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / str(n) for n in range(10)]
    for file in files:
        file.write_bytes(b"x" * 1000)
    by_count = list(split_sessions(files, replace(QUICK, files_per_session=4)))
    assert by_count == [range(4), range(4, 8), range(8, 10)]
    monkeypatch.setattr(sitting, "_memory_bytes", lambda: 4 * 3 * 2500)
    assert list(split_sessions(files, QUICK)) == [range(n, n + 2) for n in range(0, 10, 2)]
    monkeypatch.setattr(sitting, "_memory_bytes", lambda: 8.0)
    assert list(split_sessions(files, QUICK)) == [range(n, n + 1) for n in range(10)], (
        "a file that is too large goes alone"
    )
    assert list(split_sessions([], QUICK)) == []


def test_conditions_tell_the_machine_the_cores_and_what_computes(files: list[Path]) -> None:
    found = time_files(files[:1], open_runtime("onnxruntime", cores="0"), QUICK).measured[0].conditions
    assert found["machine"]["kernel"]
    assert found["cpus"] == [0]
    assert found["delegate"] == "CPUExecutionProvider"
    assert len(found["memory_free_mb"]) == 2


@pytest.mark.parametrize("processes", [0, 2])
def test_cores_that_this_machine_lacks_are_refused_before_anything_is_timed(files: list[Path], processes: int) -> None:
    with pytest.raises(ConfigError, match="cores: 4000"):
        time_files(files, open_runtime("onnxruntime", cores="4000"), replace(QUICK, processes=processes))


def test_what_processes_tell_of_throttling_is_added_up() -> None:
    one = Measurement((1.0, 2.0), {"throttled_rounds": 1, "throttled_retaken": 3, "throttled": {"a": 1}})
    two = Measurement((3.0,), {"throttled_rounds": 1, "throttled_retaken": 0, "throttled": {"a": 1, "b": 1}})
    three = Measurement((4.0,), {"throttled_rounds": 0, "throttled_retaken": 0})
    both = merged([one, two, three]).conditions
    assert both == {"throttled_rounds": 2, "throttled_retaken": 3, "throttled": {"a": 2, "b": 1},
                    "processes": [2, 1, 1]}  # fmt: skip


def test_measurements_of_several_processes_are_joined() -> None:
    one = Measurement(
        (1.0, 2.0), {"load": [0.1, 0.2], "steal_ticks": 1, "retaken": 1, REFERENCE_CONDITION: [5.0, 6.0], "at": "a"}
    )
    two = Measurement(
        (3.0,), {"load": [0.3, 0.4], "steal_ticks": 2, "retaken": 0, REFERENCE_CONDITION: [7.0], "at": "b"}
    )
    both = merged([one, two])
    assert both.rounds_ns == (1.0, 2.0, 3.0)
    assert both.conditions == {
        "load": [0.1, 0.4], "steal_ticks": 3, "retaken": 1, "at": "b", "processes": [2, 1],
        REFERENCE_CONDITION: [5.0, 6.0, 7.0],
    }  # fmt: skip


@dataclass
class Worker:
    """A real measuring process."""

    process: subprocess.Popen[str]

    @classmethod
    def begin(cls, files: Sequence[Path], timing: dict[str, Any], repository: Path) -> Worker:
        job = {"setup": open_runtime("onnxruntime").setup.as_dict(), "timing": timing,
               "files": list(map(str, files)), "reference": None}  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "hwnas.measure.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        return cls(process)


def test_a_worker_ends_when_nobody_listens_any_more(files: list[Path], repository: Path) -> None:
    endless = {"warm_up_ms": 0, "min_sample_ms": 0.01, "rounds": 10**9}
    worker = Worker.begin(files, endless, repository).process
    assert worker.stdout is not None
    assert "started" in worker.stdout.readline()
    worker.stdout.close()
    begin = time.monotonic()
    while worker.poll() is None and time.monotonic() - begin < 60:
        time.sleep(0.05)
    assert worker.poll() is not None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not pin processes")
def test_a_process_keeps_to_as_many_processors_as_it_has_threads() -> None:
    before = os.sched_getaffinity(0)
    with pinned_to(chosen("", 1, True, Tree()), surely=False) as cpus:
        assert os.sched_getaffinity(0) == set(cpus) == {max(before)}
    assert os.sched_getaffinity(0) == before
