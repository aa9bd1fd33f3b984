"""Files that are opened only if they are regular ones: of a FIFO or a device a reader would wait for ever. Board side:
Python 3.9 syntax, no numpy."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FILE_TYPES = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class IrregularFile(OSError):
    """A path that leads to a FIFO, a socket or a device; an OSError, so that whoever reads files reports it."""


def resolve_path(name: str | Path, base: Path) -> Path:
    """Return the path that a user names: from the current folder if something is there, else from `base`."""
    path = Path(name).expanduser()
    return path if path.exists() else base / path


def check_regular(path: Path) -> None:
    """Refuse a path that is not a regular file before anything waits for it.

    Raises:
        OSError: it is not one, or it is not there; `strerror` says which.
    """
    _check(os.stat(path).st_mode, path)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: it is not one, or cannot be read; `strerror` says which.

    >>> import tempfile
    >>> fifo = Path(tempfile.mkdtemp()) / "images.png"
    >>> os.mkfifo(fifo)
    >>> open_regular(fifo)
    Traceback (most recent call last):
    hwnas.io.regular.IrregularFile: [Errno 22] it is a FIFO, a regular file is needed: '...images.png'
    """
    check_regular(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor).st_mode, path)  # it may have been exchanged since
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file, of `most` bytes at most if that is set.

    Raises:
        OSError: it is not one, larger, or cannot be read; `strerror` says which.
    """
    with open_regular(path) as file:
        if most is not None and (size := os.fstat(file.fileno()).st_size) > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes", str(path))
        return file.read()


def open_own(path: Path, flags: int = 0) -> int:
    """Return a descriptor to read and write a file that only this name leads to; it is made if it is not there.

    What is written to a link, symbolic or hard, would change a file elsewhere, such as that of another run.

    Raises:
        OSError: another name leads to it, it is not regular, or it cannot be opened; `strerror` says which.
    """
    if os.path.islink(path):
        raise IrregularFile(errno.ELOOP, "it is a symbolic link, a file of this folder is needed", str(path))
    if os.path.exists(path):
        check_regular(path)
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        status = os.fstat(descriptor)
        _check(status.st_mode, path)
        if status.st_nlink > 1:
            raise IrregularFile(errno.EMLINK, f"it is one of {status.st_nlink} hard links to a file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for is_kind, kind in _FILE_TYPES:
        if is_kind(mode):
            raise IrregularFile(errno.EINVAL, f"it is {kind}, a regular file is needed", str(path))
