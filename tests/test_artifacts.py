"""Files that are to be timed: the same wherever they are made, and whole whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from hwnas.errors import DiskError, ExportError, HwnasError, MissingExtra
from hwnas.latency.building import model_files as artifacts
from hwnas.latency.building.model_files import ModelFile, make_files
from hwnas.ops.conv import Conv
from tests.helpers import fake_exporters
from tests.helpers.fake_exporters import SETUP, targets


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def processes(log: Path) -> set[str]:
    return {file.name.partition(".")[0] for file in log.iterdir()}


def made(wanted: Sequence[ModelFile], log: Path, folder: Path, workers: int = 1) -> list[Path | HwnasError]:
    return make_files(wanted, SETUP, ".fake", partial(fake_exporters.weights, log=log), folder, workers=workers)


@pytest.fixture
def pool_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every exporter counts as slow, as soon as two files tell how slow."""
    monkeypatch.setattr(artifacts, "POOL_PAYS_S", -1.0)


def test_other_processes_make_the_same_files_in_the_same_order(tmp_path: Path, log: Path, pool_at_once: None) -> None:
    wanted = targets(*range(1, 9))
    told = list[tuple[int, int, str]]()
    together = make_files(
        wanted, SETUP, ".fake", partial(fake_exporters.weights, log=log), tmp_path / "pool", workers=2,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert len(processes(log)) == 3, "two here, the others in two processes"
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {planned for _, planned, _ in told} == {8}
    assert sorted(what for _, _, what in told) == [f"exporting conv of {width}" for width in range(1, 9)]

    alone = made(wanted, log, tmp_path / "alone")
    assert all(isinstance(path, Path) for path in [*together, *alone])
    assert [path.name for path in together if isinstance(path, Path)] == [
        path.name for path in alone if isinstance(path, Path)
    ]
    for one, other, target in zip(together, alone, wanted, strict=True):
        assert isinstance(one, Path)
        assert isinstance(other, Path)
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size == 4 * sum(t.numel() for t in target.make().state_dict().values()) + 4


@pytest.mark.slow
def test_a_file_that_cannot_be_made_costs_the_others_nothing(tmp_path: Path, log: Path, pool_at_once: None) -> None:
    answers = made(targets(1, 13, 2, 17, 3, 4), log, tmp_path / "a", workers=2)
    refused, killed = answers[1], answers[3]
    assert isinstance(refused, ExportError)
    assert isinstance(killed, ExportError)
    assert (refused.met, refused.where) == ("no such operation", "here")
    assert "signal 9" in killed.met
    assert killed.where == "conv of 17"
    assert all(isinstance(answers[n], Path) for n in (0, 2, 4, 5))
    assert len(list((tmp_path / "a").iterdir())) == 4


def test_a_module_that_cannot_be_built_is_an_error_in_its_place(tmp_path: Path, log: Path) -> None:
    def broken() -> nn.Module:
        raise ZeroDivisionError("no such module\nat all")

    first, second = made([ModelFile("mine", broken, (1,)), *targets(2)], log, tmp_path / "a")
    assert isinstance(first, ExportError)
    assert first.where == "mine"
    assert "ZeroDivisionError: no such module" in first.met
    assert isinstance(second, Path)


def test_files_that_are_there_are_used_again(tmp_path: Path, log: Path) -> None:
    first = made(targets(1, 2, 3), log, tmp_path / "a")
    for file in log.iterdir():
        file.unlink()
    assert made(targets(3, 2, 1, 3), log, tmp_path / "a") == [first[2], first[1], first[0], first[2]]
    assert list(log.iterdir()) == []


def test_targets_that_would_give_the_same_file_give_it_once(tmp_path: Path, log: Path) -> None:
    one, other = made(targets(2, 2), log, tmp_path / "a")
    assert one == other
    assert len(list(log.iterdir())) == 1


def test_a_name_changes_with_whatever_would_change_the_file(tmp_path: Path, log: Path) -> None:
    target = targets(2)[0]
    others = [
        replace(target, name="another operator"),
        replace(target, key="other knobs"),
        replace(target, input_shape=(2, 8, 8)),
        replace(target, make=Conv(2, 8).module),
        replace(target, make=Conv(2, 4, activation="hswish").module),
    ]
    paths = made([target, *others], log, tmp_path / "a")
    export = partial(fake_exporters.weights, log=log)
    for setup in (replace(SETUP, precision="int8"), replace(SETUP, batch=2), replace(SETUP, runtime="another")):
        paths += make_files([target], setup, ".fake", export, tmp_path / "a")
    paths += make_files([target], SETUP, ".other", export, tmp_path / "a")
    paths += make_files([target], SETUP, ".fake", fake_exporters.threads, tmp_path / "a")
    assert len({str(path) for path in paths}) == len(paths) == 11
    same = made([target], log, tmp_path / "a")
    assert same == made([replace(target, make=Conv(2, 4).module)], log, tmp_path / "a")


def test_what_other_processes_cannot_import_is_made_here(tmp_path: Path, log: Path, pool_at_once: None) -> None:
    local = ModelFile("local", lambda: nn.Linear(5, 5), (5,))
    answers = made([*targets(1, 2), local, *targets(3)], log, tmp_path / "a", workers=2)
    assert all(isinstance(answer, Path) for answer in answers)
    here = next(file.name for file in log.glob("*.1")).partition(".")[0]
    assert (log / f"{here}.5").exists()
    assert not (log / f"{here}.3").exists()


def test_code_that_only_this_process_knows_is_run_here(
    tmp_path: Path, log: Path, pool_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickle is content with an operator of a user's file; the other process cannot find the file's module."""
    import types

    module = types.ModuleType("a_users_file_5c1d")
    exec("from torch import nn\ndef make():\n    return nn.Linear(5, 5)\n", module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, module.__name__, module)
    answers = made(
        [*targets(1, 2), ModelFile("theirs", module.make, (5,)), *targets(3)], log, tmp_path / "a", workers=2
    )
    assert all(isinstance(answer, Path) for answer in answers)
    assert len(processes(log)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 2], ids=["made here", "made elsewhere"])
def test_a_missing_package_ends_it(tmp_path: Path, log: Path, pool_at_once: None, position: int) -> None:
    wanted = targets(1, 2, 3)
    wanted.insert(position, targets(19)[0])
    with pytest.raises(MissingExtra):
        made(wanted, log, tmp_path / "a", workers=2)


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 2], ids=["made here", "made elsewhere"])
def test_a_full_disk_ends_it_and_no_operator_is_blamed(
    tmp_path: Path, log: Path, pool_at_once: None, position: int
) -> None:
    wanted = targets(1, 2, 3)
    wanted.insert(position, targets(23)[0])
    with pytest.raises(DiskError, match="No space left on device") as caught:
        made(wanted, log, tmp_path / "a", workers=2)
    assert caught.value.where.startswith(str(tmp_path / "a"))
    assert "operat" not in str(caught.value)


def test_a_quick_exporter_stays_here_however_many_processes_are_allowed(tmp_path: Path, log: Path) -> None:
    made(targets(*range(1, 9)), log, tmp_path / "a", workers=8)
    assert len(processes(log)) == 1


def test_the_global_seed_neither_matters_nor_changes(tmp_path: Path, log: Path) -> None:
    contents = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        path = made(targets(2), log, tmp_path / str(seed))[0]
        assert isinstance(path, Path)
        contents.append(path.read_bytes())
        assert torch.equal(torch.random.get_rng_state(), state)
    assert contents[0] == contents[1]


def test_other_processes_compute_on_one_thread(tmp_path: Path, pool_at_once: None) -> None:
    paths = make_files(targets(1, 2, 3), SETUP, ".fake", fake_exporters.threads, tmp_path / "a", workers=2)
    assert isinstance(paths[2], Path)
    assert paths[2].read_text() == "1"


def test_short_memory_means_fewer_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, most in ((0, 1), (artifacts.WORKER_BYTES, 1), (2 * artifacts.WORKER_BYTES, 2)):
        monkeypatch.setattr(artifacts, "free_bytes", lambda free=free: iter([free]))
        monkeypatch.setattr(artifacts.os, "sched_getaffinity", lambda pid: set(range(64)))
        assert artifacts._workers() == most


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
from hwnas.latency.building import model_files as artifacts
from tests.helpers.fake_exporters import endless
from tests.helpers.fake_exporters import SETUP
from tests.helpers.fake_exporters import targets
artifacts.POOL_PAYS_S = -1.0
log = Path(sys.argv[1])
artifacts.make_files(targets(1, 2, 3, 4), SETUP, ".fake", partial(endless, log=log), log.parent / "a", workers=2)
"""  # no guard on __main__: other processes do not run the caller's script


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_other_processes_end_with_this_one(tmp_path: Path, log: Path, repository: Path, ending: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(log)]
    with subprocess.Popen(command, cwd=repository, env={"PYTHONPATH": str(repository)}, stderr=subprocess.PIPE) as run:
        try:
            assert wait_for(lambda: len(list(log.iterdir())) == 4), "two were made, two processes are at work"
            run.send_signal(ending)
            run.communicate(timeout=30)
            assert run.returncode != 0
        finally:
            run.kill()
        others = processes(log) - {str(run.pid)}
        assert len(others) == 2
        assert wait_for(lambda: not [pid for pid in others if alive(pid)])
    assert sorted(file.suffix for file in (tmp_path / "a").iterdir()) == [".fake", ".fake"]


def alive(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False


def wait_for(true: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False
