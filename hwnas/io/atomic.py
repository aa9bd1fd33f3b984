"""Atomic writes: a reader, or a crash, meets the old file or the new one and nothing between. Board side: Python 3.9
syntax, no numpy."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from hwnas.errors import RunError, reason
from hwnas.io.regular import check_regular

PARTIAL_FILE = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.part")
"""The name of a file that is being written: hidden, with the process that writes it."""
OLD_PARTS = (
    re.compile(r"(checkpoint-\d+|within|.+-live)\.part"),
    re.compile(r"[0-9a-f]{12,16}\.(?P<pid>\d+)\.part"),
    re.compile(r"\..+\.(?P<pid>\d+)\.tmp"),
    re.compile(r"\..+\.(jsonl|html)\.(?P<pid>\d+)"),
)
"""The names that earlier versions gave it; not all say which process writes."""


def write_atomic(path: Path, content: str | bytes | Callable[[BinaryIO], Any], mode: int | None = None) -> None:
    """Replace the file at `path`, on the disk on return; parents are made, and a failure leaves nothing behind.

    Args:
        path: of the file.
        content: text (UTF-8), bytes, or a function that writes to an open binary file, which it may also read.
        mode: who may use the file, from its first byte on; as the process's umask has it if left out.

    Raises:
        OSError: it cannot be written, or is no regular file; `filename` is set. An earlier file is as it was.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_atomic(folder / "a" / "notes.txt", "kept")
    >>> (folder / "a" / "notes.txt").read_text()
    'kept'
    """
    part = part_of(path)
    try:
        with suppress(FileNotFoundError):
            check_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w+b", opener=None if mode is None else _opener(mode)) as file:
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


def write_file(
    path: Path,
    content: str | bytes,
    *,
    what: str = "file",
    do: str = "Correct that and run the same command again",
    mode: int | None = None,
) -> Path:
    """Write a file by `write_atomic` and return its path; `what` and `do` are the words of the error.

    Raises:
        RunError: it cannot be written.
    """
    try:
        write_atomic(path, content, mode)
    except OSError as error:
        raise RunError(
            f"the {what} cannot be written ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable and the disk not full",
            do=do,
        ) from error
    return path


def part_of(path: Path) -> Path:
    """Return the name under which this process writes a file before it is whole.

    >>> part_of(Path("front.json")).name == f".front.json.{os.getpid()}.part"
    True
    """
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def why_unwritable(path: Path) -> str:
    """Return why no file can be written at `path`, as far as is known without writing one; empty if one can be.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> why_unwritable(folder), why_unwritable(folder / "new" / "file"), why_unwritable(folder / ("a" * 300))
    ('it is a folder', '', 'File name too long')
    """
    try:
        if path.is_dir():
            return "it is a folder"
        with suppress(FileNotFoundError):
            return "" if stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.W_OK) else "it is no writable file"
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            return f"{folder} is no folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} cannot be written to"
        disk = shutil.disk_usage(folder)
        return f"the disk of {folder} is full" if disk.total and not disk.free else ""
    except (OSError, ValueError) as error:
        return reason(error)


def _opener(mode: int) -> Callable[[str, int], int]:
    def opened(path: str, flags: int) -> int:
        descriptor = os.open(path, flags, mode)
        os.fchmod(descriptor, mode)  # a part that a killed process left has another one
        return descriptor

    return opened


def sync_folder(folder: Path) -> None:
    """Sync a folder's names to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def abandoned_parts(folder: Path, *, unheld: bool = False) -> Iterator[Path]:
    """Yield files under a folder whose processes died before the files were whole.

    With `unheld`, nobody else writes in the folder, and those count too whose names do not tell the process.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".front.json.4194400.part").touch()
    >>> [path.name for path in abandoned_parts(folder)]
    ['.front.json.4194400.part']
    """
    for inside, _, names in os.walk(folder):
        for name in names:
            part = next(filter(None, (pattern.fullmatch(name) for pattern in (PARTIAL_FILE, *OLD_PARTS))), None)
            if part is None or not os.path.isfile(os.path.join(inside, name)):
                continue
            pid = part.groupdict().get("pid")
            if unheld if pid is None else not _is_alive(int(pid)):
                yield Path(inside) / name


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
