"""What several test files need."""

from __future__ import annotations

import atexit
import errno
import gc
import inspect
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.helpers")  # before any of them is imported

from tests.helpers import durations  # noqa: E402
from tests.helpers.command_line import hwnas as hwnas  # noqa: E402 - a fixture
from tests.helpers.opened_nets import net as net  # noqa: E402 - fixtures
from tests.helpers.opened_nets import weights as weights  # noqa: E402
from tests.helpers.repository import REPOSITORY  # noqa: E402

os.environ.setdefault("OMP_NUM_THREADS", "1")
# tiny networks, and on a busy machine two threads of PyTorch are 30 times slower than one

os.environ["HWNAS_LOCKS"] = tempfile.mkdtemp(prefix="hwnas-locks-")
atexit.register(shutil.rmtree, os.environ["HWNAS_LOCKS"], ignore_errors=True)
# tests measure to see that it works: they need not wait for others on the machine, nor for other test processes

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share their controller's
    for variable in ("HWNAS_TEST_CONVERSIONS", "HWNAS_CACHE"):
        os.environ[variable] = tempfile.mkdtemp(prefix="hwnas-tests-")
        atexit.register(shutil.rmtree, os.environ[variable], ignore_errors=True)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# a shell's background jobs ignore Ctrl-C, and what they start inherits that: tests that send it would wait in vain


SLOW_FIXTURES = {"cluster", "server"}
"""Fixtures that start Ray, a database or sshd."""
SLOW_SPACES = {path.stem for path in (REPOSITORY / "search_spaces").glob("*.yaml")} - {"digits"}
"""All shipped spaces but one: what holds for each is tried on that one, on small spaces and on each operator too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help="keep in tests/durations.json how long tests take")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-durations"):
        config.pluginmanager.register(durations.Recorder())


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs servers or a browser, what converts to TFLite, all shipped spaces but one, and what took
    long when durations were recorded."""
    taken = durations.known()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        params = getattr(item, "callspec", None)
        spaces = {value for value in params.params.values() if isinstance(value, str)} if params else set()
        converts = "uncached" in fixtures and "tflite" in item.name.lower()
        needs_more = converts or fixtures & SLOW_FIXTURES or spaces & SLOW_SPACES or item.get_closest_marker("browser")
        if needs_more or item.nodeid in taken:
            item.add_marker(pytest.mark.slow)
    durations.longest_first(items, taken)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: modules and tests stay, and each search for garbage would visit
    all of them, then and for the rest of the run."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep conversions to TFLite for the whole run; where no test uses PyTorch, none converts."""
    if "torch" in sys.modules:
        from tests.helpers import conversions

        conversions.install()


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


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions to TFLite are done, not copied: for tests of converting itself."""
    from hwnas.export import tflite

    monkeypatch.setattr(tflite, "export_tflite", inspect.unwrap(tflite.export_tflite))


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function from whose call on the disk is full: nothing written can be kept."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(os, "fsync", full)
