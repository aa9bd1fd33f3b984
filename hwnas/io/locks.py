"""One process to a run folder; the kernel frees the lock of a process that was killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import final

from hwnas.errors import RunError, reason
from hwnas.io.command import command_line
from hwnas.io.regular import IrregularFile, open_own


@final
class RunLock:
    """Lock that holds `<folder>/.lock` while its `with` block runs. The file stays; what counts is the lock on it.

    Several processes hold a folder at a time if all of them are `shared`: those that search it together.

    Raises:
        RunError: on entering, when another process holds the folder, or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.path, self.shared = folder / ".lock", shared
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_own(self.path)
        except IrregularFile as error:
            raise RunError(
                f"the run folder cannot be locked ({reason(error)})",
                where=str(self.path),
                allowed="The lock is a file of this folder alone: a link would lock another one",
                do="Remove it: the next command makes it anew",
            ) from error
        except OSError as error:
            raise RunError(
                f"the run folder cannot be written ({reason(error)})",
                where=str(self.path.parent),
                allowed="A run keeps its scores and files there",
                do="Correct its permissions, or name another folder",
            ) from error
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if self.shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 1000).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunError(
                f"another process works on this run ({holder or 'it has not said which'})",
                where=str(self.path.parent),
                allowed="A run belongs to one process at a time",
                do="Wait for it, stop it, or give this run another name",
            ) from error
        self._descriptor = descriptor
        if not self.shared:
            self._sign()
        return self

    def alone(self) -> None:
        """Wait until nobody shares the folder any more; from then on it belongs to this process."""
        if self.shared and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self.shared = False
            self._sign()

    def _sign(self) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        signature = f"pid {os.getpid()}: {command_line()}"[:900]
        os.pwrite(self._descriptor, signature.encode(errors="replace"), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            if not self.shared:
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
