"""Full disks and folders that cannot be written, as they show below exporters: reported as such, no operator blamed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hwnas.errors import DiskError

OF_THE_DISK = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES",
        "EDQUOT",
        "EEXIST",
        "EFBIG",
        "EIO",
        "EISDIR",
        "EMFILE",
        "ENAMETOOLONG",
        "ENFILE",
        "ENOSPC",
        "ENOTDIR",
        "EPERM",
        "EROFS",
    )
    if hasattr(errno, name)
)
"""Errors that files and folders give, whatever is written there."""
ERROR_TEXTS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG))
"""Their texts, as native code passes them on in its own exceptions."""
DEPTH = 20
"""Links of a chain of exceptions that are followed to its origin."""


def unwritten(error: BaseException, path: Path) -> DiskError | None:
    """Return the error to report if a disk or a folder is behind an exception, or behind a cause of it; else None."""
    if isinstance(error, DiskError):
        return error
    link: BaseException | None = error
    for _ in range(DEPTH):
        if link is None:
            return None
        why = _of_the_disk(link, path)
        if why is not None:
            elsewhere = _named_file(link)
            inside = elsewhere is None or elsewhere.parent == path.parent
            return DiskError(
                f"the file cannot be written ({why})",
                where=str(path if inside else elsewhere),
                allowed="The folder must be writable, on a disk with free space",
                do="Free the disk or make the folder writable, and run the same command again",
            )
        link = link.__cause__ or link.__context__
    return None


def _of_the_disk(error: BaseException, path: Path) -> str | None:
    if isinstance(error, OSError):
        ours = (file := _named_file(error)) is not None and file.parent == path.parent
        return error.strerror or str(error) if error.errno in OF_THE_DISK or ours else None
    return next((words for words in ERROR_TEXTS if words in str(error)), None)


def _named_file(error: BaseException) -> Path | None:
    named = error.filename if isinstance(error, OSError) else None
    return Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None
