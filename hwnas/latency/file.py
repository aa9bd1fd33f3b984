"""Reading, creating and appending to a table's file, so that a kill at any moment leaves whole lines. Board side:
Python 3.9 syntax, no torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hwnas.errors import TableError, reason


def content_of(path: Path) -> bytes:
    """The file as it is.

    Raises:
        TableError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(
            f"the table cannot be read ({reason(error)})", where=str(path),
            allowed="A file of JSON lines that `hwnas bench` wrote is needed", do="Check the path",
        ) from error  # fmt: skip


def append(path: Path, content: bytes) -> None:
    """Append to the file, on the disk on return, or leave it as it was.

    Raises:
        TableError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            end = file.tell()
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(path, end)
                raise
    except OSError as error:
        raise _unwritable(path, error) from error


def create(path: Path, content: bytes) -> None:
    """Write a new file: on return it is whole and on the disk, after a kill or a failure it is not there at all.

    Raises:
        TableError: a file stands there, or it cannot be written.
    """
    if path.exists():
        raise TableError(
            "a file stands there already", where=str(path),
            allowed="A new table is written to a new file; what was measured is never overwritten",
            do="Name another file, or remove this one",
        )  # fmt: skip
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def end_with_a_whole_line(path: Path, *, keep: bool) -> None:
    """End the file after its last line, or if that is not to be kept, before it."""
    content = content_of(path)
    if content.endswith(b"\n"):
        return
    if keep:
        append(path, b"\n")
    else:
        os.truncate(path, content.rfind(b"\n") + 1)


def _unwritable(path: Path, error: OSError) -> TableError:
    return TableError(
        f"the table cannot be written ({reason(error)})", where=str(path),
        allowed="A table that is added to must be writable, on a disk with free space",
        do="Free the disk, or name a table in a folder of your own",
    )  # fmt: skip
