"""Files of one JSON object a line: appended whole, read back with damage named by its line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hwnas.errors import RunError


@dataclass(frozen=True)
class Lines:
    """What a file holds. Beyond `whole_bytes` lies a line that was cut off while it was written."""

    records: tuple[dict[str, Any], ...]
    whole_bytes: int
    cut_bytes: int


def read_lines(path: Path) -> Lines:
    """The objects in a file, none if there is no file; a last line without its end is left out.

    Raises:
        RunError: the file cannot be read, or a line that was finished holds no JSON object.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise RunError(
            f"the file cannot be read ({error.strerror})",
            where=str(path),
            allowed="It must be readable",
            do="Correct its permissions",
        ) from error
    whole = content.rfind(b"\n") + 1
    records = tuple(_record(line, path, number) for number, line in enumerate(content[:whole].splitlines(), 1))
    return Lines(records, whole, len(content) - whole)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append an object as one write, on the disk when this returns.

    Raises:
        RunError: the file cannot be written.
        ValueError: a number in the object is not finite.
    """
    line = (json.dumps(record, allow_nan=False) + "\n").encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError("the disk took only a part of the line")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"a line cannot be appended ({error})",
            where=str(path),
            allowed="The file must be writable and the disk not full",
            do="Make room or correct the permissions, then run the same command again",
        ) from error


def drop_cut_line(path: Path, lines: Lines) -> None:
    """Cut the file back to its whole lines, so that the next line does not run into the rest of a cut one."""
    if lines.cut_bytes == 0:
        return
    try:
        with path.open("r+b") as file:
            file.truncate(lines.whole_bytes)
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"the cut last line cannot be dropped ({error.strerror})",
            where=str(path),
            allowed="The file must be writable",
            do="Correct its permissions and run the same command again",
        ) from error


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_constant=_refuse)
        if not isinstance(record, dict):
            raise ValueError(f"it holds {type(record).__name__}")
    except ValueError as error:
        raise RunError(
            f"the line holds no JSON object ({error})",
            where=f"{path}:{number}",
            allowed="Only the last line may be cut off; damage elsewhere means that something else wrote here",
            do="Restore the file, or remove that line",
        ) from error
    return record


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
