"""Files of one JSON object a line: appended whole, read back with damage named by its line. Board side: Python 3.9
syntax, no numpy."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import RunError, reason
from hwnas.io.fields import FieldError, loads
from hwnas.io.regular import open_own, open_regular


@dataclass(frozen=True)
class Lines:
    """Content of a file. Beyond `whole_bytes` lies a line that was cut off while it was written."""

    records: tuple[dict[str, Any], ...]
    whole_bytes: int
    cut_bytes: int


def read_lines(path: Path, after: int = 0) -> Lines:
    """Return the objects in a file, none if there is no file; a last line without its end is left out.

    With `after`, those that begin behind that many bytes; then errors count lines from there.

    Raises:
        RunError: the file cannot be read, or a line that was finished holds no JSON object.
    """
    try:
        content = _content(path, after)
    except OSError as error:
        raise _unreadable(path, error) from error
    whole = content.rfind(b"\n") + 1
    records = tuple(_record(line, path, number) for number, line in enumerate(content[:whole].splitlines(), 1))
    return Lines(records, after + whole, len(content) - whole)


def _content(path: Path, after: int) -> bytes:
    try:
        with open_regular(path) as file:
            file.seek(after)
            return file.read()
    except FileNotFoundError:
        return b""


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append objects as one write, on the disk when this returns; processes that append to one file take turns.

    A partial line that a killed process left is dropped first, so that no line runs into it.

    Raises:
        RunError: the file cannot be written, or another name leads to it.
        ValueError: a number in an object is not finite.
    """
    lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records).encode()
    if not lines:
        return
    try:
        descriptor = open_own(path, os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            truncate_partial_line(descriptor)
            _append(descriptor, lines)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"lines cannot be appended ({reason(error)})",
            where=str(path),
            allowed="It is a file of its own, no link to another, in a folder that is writable, on a disk with room",
            do="Make room or correct that, then run the same command again",
        ) from error


def _append(descriptor: int, lines: bytes) -> None:
    """Write all of the lines, or leave the open file as it was."""
    end, left = os.fstat(descriptor).st_size, memoryview(lines)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def truncate_partial_line(descriptor: int) -> int:
    """Cut an open, locked file back to its whole lines and return how many bytes were cut."""
    size = os.fstat(descriptor).st_size
    whole = _whole_bytes(descriptor, size)
    if whole < size:
        os.ftruncate(descriptor, whole)
        os.fsync(descriptor)
    return size - whole


def cut_bytes(path: Path) -> int:
    """Return how many bytes of a file lie beyond its last whole line; 0 if there is no file. The rest is not read.

    Raises:
        RunError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size - _whole_bytes(file.fileno(), size)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"the file cannot be read ({reason(error)})",
        where=str(path),
        allowed="It must be readable",
        do="Correct its permissions, or restore the file",
    )


def _whole_bytes(descriptor: int, size: int) -> int:
    """Return the offset in bytes at which the last finished line of a file ends."""
    end = size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = loads(line)
        if not isinstance(record, dict):
            raise FieldError("it is JSON of another kind")
    except FieldError as error:
        raise RunError(
            f"the line holds no JSON object ({reason(error)})",
            where=f"{path}:{number}",
            allowed="Only the last line may be cut off; damage elsewhere means that something else wrote here",
            do="Restore the file, or remove that line",
        ) from error
    return record
