"""Laws of the run lock: one process at a time, and none after a killed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.errors import RunError
from hwnas.io.locks import RunLock

HOLD = """
import sys, time
from pathlib import Path
from hwnas.io.locks import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_run_until_that_one_is_killed(tmp_path: Path, repository: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=repository)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"pid {holder.pid}"), RunLock(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with RunLock(tmp_path):
        assert f"pid {os.getpid()}" in (tmp_path / ".lock").read_text()


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        first, second = RunLock(tmp_path / "runs" / "new"), RunLock(tmp_path / "runs" / "new")
        with first, pytest.raises(RunError, match="another process"), second:
            pass
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        _ = 1 / 0
    with RunLock(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"), RunLock(tmp_path / "file" / "run"):
        pass
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(RunError, match="cannot be written"), RunLock(tmp_path / "closed"):
            pass
