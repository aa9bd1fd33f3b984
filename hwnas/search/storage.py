"""Where studies are kept: a journal file of our own, or any storage that Optuna has a URL for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

from hwnas.errors import RunError
from hwnas.search.lines import drop_cut_line, read_lines


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its notes on created studies; its verbosity is as before afterwards."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def journal(path: Path) -> tuple[JournalStorage, tuple[str, ...]]:
    """The storage in a journal file and notices; a last line that was cut off is dropped from the file.

    Raises:
        RunError: the file is damaged elsewhere, or cannot be written.
    """
    lines = read_lines(path)
    notices = (f"{path}: the last line was cut off while it was written and is dropped",) if lines.cut_bytes else ()
    drop_cut_line(path, lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(path), KernelLock(path))  # type: ignore[arg-type]  # it has the two methods asked for
        return JournalStorage(backend), notices
    except OSError as error:
        raise RunError(
            f"the study cannot be kept here ({error.strerror})",
            where=str(path),
            allowed="The folder must be writable",
            do="Correct its permissions, or name another folder",
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, optuna.exceptions.OptunaError) as error:
        raise damaged(path, error) from error


def damaged(where: object, error: Exception) -> RunError:
    """The error for a study that cannot be understood."""
    return RunError(
        f"the study is damaged ({type(error).__name__}: {error})",
        where=str(where),
        allowed="A study is a log that Optuna wrote",
        do="Remove it and run the same command again; scores that are stored are not computed again",
    )


@final
class KernelLock:
    """Lock on the journal itself, freed by the kernel when its process is killed.

    Optuna's own locks are files that a killed process leaves behind, and the next one waits 30 s for each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
