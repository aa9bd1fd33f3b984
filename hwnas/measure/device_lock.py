"""One at a time on a device: whoever measures there holds a lock of the machine's own, and all others wait for it,
whichever user, search or desk they come from. Board side: Python 3.9 syntax, no torch.

The kernel frees a lock with the last process that has its file open: the one that asked for it, or the measuring
process that it started. What a killed process leaves is a file that nobody holds.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import platform
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import HostAway, reason
from hwnas.io.command import command_line

LOCKS_VARIABLE = "HWNAS_LOCKS"
"""The environment variable that names another folder for the locks, such as one that containers of a machine share."""
PLACES = ("/run/lock", "/tmp")
"""The first one that everybody may write to holds the locks, because who asks must not matter; else the system's own
folder of temporary files."""
DEVICE, NEXT = "hwnas-device.lock", "hwnas-device.next"
WAIT_S = 1800.0
POLL_S = 0.2
SAID = 900
"""Largest number of bytes that describe who holds a device."""
AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags with which a link is not followed, and a pipe that nobody reads is not waited for."""
NO_FILE = {errno.ELOOP: "a link", errno.EISDIR: "a folder", errno.ENXIO: "no regular file"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class LockWait:
    """Rules for waiting for a device on which somebody else measures."""

    wait_s: float = WAIT_S
    say: Say = lambda text: None


DEFAULT_WAIT = LockWait()


@contextmanager
def exclusive_device(queue: LockWait) -> Iterator[int]:
    """Hold this machine while the block runs; yield the lock's descriptor, for the processes that measure.

    Who waits comes before who held it last, so that a long table and a search take turns.

    Raises:
        HostAway: somebody else held it for too long, or the locks' folder cannot be used.
    """
    folder, until = _folder(), time.monotonic() + queue.wait_s
    announced: list[str] = []

    def busy() -> None:
        if not announced:
            announced.append(f"the device is busy: {_holder(folder / DEVICE)}")
            queue.say(f"{announced[0]}; waiting for up to {queue.wait_s:g} s")

    try:
        descriptor = _next(folder, until, busy)
    except OSError as error:
        raise _unusable(folder, error) from error
    if descriptor is None:
        raise _gave_up(folder / DEVICE, queue)
    _sign(descriptor)
    try:
        yield descriptor
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def try_lock(descriptor: int, wait_s: float, busy: Callable[[], None] = lambda: None) -> bool:
    """Return whether this process got an open file's lock in time; `busy` is called where it has to wait."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        else:
            return True


def _next(folder: Path, until: float, busy: Callable[[], None]) -> int | None:
    """Return the device's lock, for which one process at a time stands first in the queue."""
    first = _locked(folder / NEXT, until, busy)
    if first is None:
        return None
    try:
        return _locked(folder / DEVICE, until, busy)
    finally:
        os.close(first)


def _locked(path: Path, until: float, busy: Callable[[], None]) -> int | None:
    """Return a descriptor of the file with its lock; None if it did not come in time."""
    while True:
        descriptor = _opened(path)
        if not try_lock(descriptor, until - time.monotonic(), busy):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)  # somebody has cleaned up: the lock of a removed file holds nobody off


def _opened(path: Path) -> int:
    """Open the file, for every user; the kernel refuses to create over another's file in such folders.

    Raises:
        HostAway: something other than a lock's file is there.
    """
    while True:
        try:
            return _lock_file(path, os.open(path, os.O_RDWR | AS_IT_IS))
        except FileNotFoundError:
            pass
        except PermissionError:
            return _lock_file(path, os.open(path, os.O_RDONLY | AS_IT_IS))  # it can be held, and not signed
        except OSError as error:
            if error.errno in NO_FILE:
                raise _odd(path, NO_FILE[error.errno]) from error
            raise
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | AS_IT_IS, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor


def _lock_file(path: Path, descriptor: int) -> int:
    """Return the descriptor, if it is of a file that holds nothing else: who has the lock writes into it."""
    state = os.fstat(descriptor)
    what = "" if stat.S_ISREG(state.st_mode) else "no regular file"
    if not what and state.st_nlink > 1:
        what = f"a file that has {state.st_nlink} names"
    if what:
        os.close(descriptor)
        raise _odd(path, what)
    return descriptor


def _folder() -> Path:
    if named := os.environ.get(LOCKS_VARIABLE):
        return Path(named)
    for candidate in PLACES:
        with suppress(OSError):
            if os.stat(candidate).st_mode & 0o002:
                return Path(candidate)
    return Path(tempfile.gettempdir())


def _sign(descriptor: int) -> None:
    desk = os.environ.get("SSH_CONNECTION", "").split()[:1]
    holder = {
        "pid": os.getpid(),
        "user": _user(),
        "node": platform.node(),
        "desk": "".join(desk),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "command": command_line()[:300],
    }
    with suppress(OSError):  # another user's file that this one may only read
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode()[:SAID], 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may know no name for its number
        return str(os.getuid())


def _holder(path: Path) -> str:
    """Return who holds a device, in words; any user can write there, so nothing else is printed."""
    try:
        holder = dict(json.loads(path.read_bytes()[:SAID]))
        words = {name: "".join(c for c in str(value) if c.isprintable()) for name, value in holder.items()}
        node = f" on {words['node']}" if words["node"] != platform.node() else ""
        desk = f", from {words['desk']}" if words["desk"] else ""
        command = f" ({words['command']})" if words["command"] else ""
        return f"process {words['pid']} of {words['user']}{node}{desk} measures there since {words['since']}{command}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a process measures there that has not said which it is"


def _gave_up(path: Path, queue: LockWait) -> HostAway:
    return HostAway(
        f"the device is busy, and {queue.wait_s:g} s were waited: {_holder(path)}",
        where=f"{platform.node()}: {path}",
        allowed="One process at a time measures on a device, because two would slow each other",
        do="Let it finish or end it, then run the same command again; or raise `timing.device_lock_timeout_s` (--wait)",
    )


def _odd(path: Path, what: str) -> HostAway:
    return HostAway(
        f"the device cannot be locked: its lock is {what}",
        where=f"{platform.node()}: {path}",
        allowed="The lock is a regular file of one name, because whoever holds it writes into it",
        do=f"Remove it, or name another folder for all that measure there: {LOCKS_VARIABLE}=FOLDER",
    )


def _unusable(folder: Path, error: OSError) -> HostAway:
    return HostAway(
        f"the device cannot be locked ({reason(error)})",
        where=f"{platform.node()}: {folder}",
        allowed="Whoever measures on a machine holds a file there, in a folder that all its users may write to",
        do=f"Make that folder writable, or name another one for all that measure there: {LOCKS_VARIABLE}=FOLDER",
    )
