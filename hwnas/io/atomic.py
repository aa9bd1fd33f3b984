"""Atomic writes: a reader, or a crash, meets the old file or the new one and nothing between. Board side: Python 3.9
syntax, no numpy."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

PART = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.part")
"""The name of a file that is being written: hidden, with the process that writes it."""


def write_atomic(path: Path, content: str | bytes | Callable[[BinaryIO], Any], mode: int | None = None) -> None:
    """Replace the file at `path`, on the disk on return; parents are made, and a failure leaves nothing behind.

    Args:
        path: of the file.
        content: text (UTF-8), bytes, or a function that writes to an open binary file.
        mode: who may use the file, from its first byte on; as the process's umask has it if left out.

    Raises:
        OSError: it cannot be written; `filename` is set. An earlier file is as it was.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_atomic(folder / "a" / "notes.txt", "kept")
    >>> (folder / "a" / "notes.txt").read_text()
    'kept'
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb", opener=None if mode is None else _opener(mode)) as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def _opener(mode: int) -> Callable[[str, int], int]:
    def opened(path: str, flags: int) -> int:
        descriptor = os.open(path, flags, mode)
        os.fchmod(descriptor, mode)  # a part that a killed process left has another one
        return descriptor

    return opened


def sync_folder(folder: Path) -> None:
    """Have the disk know a folder's names, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def abandoned_parts(folder: Path) -> Iterator[Path]:
    """Files under a folder that processes began to write and that died before they were whole, sorted.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".front.json.4194400.part").touch()
    >>> [path.name for path in abandoned_parts(folder)]
    ['.front.json.4194400.part']
    """
    for path in sorted(folder.rglob(".*.part")):
        found = PART.fullmatch(path.name)
        if found and not _is_alive(int(found["pid"])):
            yield path


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
