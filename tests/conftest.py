"""What several test files need."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.helpers")  # before any of them is imported

from tests.helpers.repository import REPOSITORY  # noqa: E402

os.environ.setdefault("OMP_NUM_THREADS", "1")
# tiny networks, and on a busy machine two threads of PyTorch are 30 times slower than one

os.environ["HWNAS_LOCKS"] = tempfile.mkdtemp(prefix="hwnas-locks-")
atexit.register(shutil.rmtree, os.environ["HWNAS_LOCKS"], ignore_errors=True)
# tests measure to see that it works: they need not wait for others on the machine, nor for other test processes

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# a shell's background jobs ignore Ctrl-C, and what they start inherits that: tests that send it would wait in vain


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("HWNAS_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: put the shared data there, or name it in HWNAS_DATA")
    return folder
