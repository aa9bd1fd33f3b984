"""Reading, creating and appending to a table's file, so that a kill at any moment leaves whole lines. Board side:
Python 3.9 syntax, no torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from hwnas.errors import TableError, reason
from hwnas.io.atomic import why_unwritable, write_atomic
from hwnas.io.regular import read_regular


def content_of(path: Path) -> bytes:
    """Return the file's content as it is.

    Raises:
        TableError: it cannot be read.
    """
    try:
        return read_regular(path)
    except (OSError, ValueError) as error:  # a ValueError, where a name holds what none can
        raise TableError(
            f"the table cannot be read ({reason(error)})",
            where=str(path),
            allowed="A file of JSON lines that `hwnas bench` wrote is needed",
            do="Check the path",
        ) from error


def append(path: Path, content: bytes, *, keep: bool | None = None) -> None:
    """Append to the file, on the disk on return, or leave the lines that are there as they were.

    Args:
        path: of the file; it is made if there is none.
        content: what is appended.
        keep: of a last line without an end: true ends it, false cuts it off, as a kill cut it short. None goes on with
            it.

    Raises:
        TableError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file:
            end = file.seek(0, os.SEEK_END)
            joint = b""
            if keep is not None and end and not _ends_a_line(file, end):
                joint = b"\n" if keep else b""
                end = end if keep else _cut(file)
            try:
                file.write(joint + content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(path, end)
                raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _ends_a_line(file: BinaryIO, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _cut(file: BinaryIO) -> int:
    """Cut off what follows the last whole line, and return where the file ends then."""
    file.seek(0)
    end = file.read().rfind(b"\n") + 1
    os.truncate(file.name, end)
    return end


def create(path: Path, content: bytes) -> None:
    """Write a new file: on return it is whole and on the disk, after a kill or a failure it is not there at all.

    Raises:
        TableError: a file stands there, or it cannot be written.
    """
    refuse_existing(path)
    try:
        write_atomic(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def refuse_unwritable(path: Path) -> None:
    """Refuse a table that cannot be begun or added to, before any work is done for it.

    Raises:
        TableError: it cannot be written.
    """
    if why := why_unwritable(path):
        raise _unwritable(path, why)


def refuse_existing(path: Path) -> None:
    """Refuse to write a new table where something stands, or where none can be, before any work is done for it.

    Raises:
        TableError: something stands there, or it cannot be written.
    """
    if os.path.lexists(path):
        what = "a folder" if path.is_dir() else "a file"
        raise TableError(
            f"{what} stands there already",
            where=str(path),
            allowed="A new table is written to a new file; what was measured is never overwritten",
            do="Name another file" if path.is_dir() else "Name another file, or remove this one",
        )
    refuse_unwritable(path)


def _unwritable(path: Path, why: OSError | str) -> TableError:
    return TableError(
        f"the table cannot be written ({why if isinstance(why, str) else reason(why)})",
        where=str(path),
        allowed="A table that is added to must be writable, on a disk with free space",
        do="Free the disk, or name a table in a folder of your own",
    )
