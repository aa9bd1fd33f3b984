"""PyTorch's files as hwnas keeps them: written whole, with a SHA-256 that is checked when they are read."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from hwnas.io.atomic import write_atomic
from hwnas.io.checksum import READ_BYTES
from hwnas.io.regular import open_regular

_DIGEST_PREFIX = b"sha256:"
_SEAL_BYTES = len(_DIGEST_PREFIX) + 64


class DamagedFile(ValueError):
    """A file that is not as hwnas wrote it; the message says in what way."""


def write_torch(path: Path, content: object) -> None:
    """Write an object by `torch.save`, with the file's SHA-256 as the comment of the archive.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """

    def write(file: BinaryIO) -> None:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch covers what the disk said with an error of its own
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        file.seek(-2, 2)  # the last field of an archive is the length of its comment
        file.write(_SEAL_BYTES.to_bytes(2, "little"))
        file.write(_DIGEST_PREFIX + _digest(file, file.tell()))

    write_atomic(path, write)


def read_torch(path: Path) -> Any:
    """Return the content of a file of tensors and plain values, on the CPU; nothing is unpickled beyond these.

    Files of earlier versions have no SHA-256; of these the checksums of the archive are verified.

    Raises:
        OSError: it cannot be read, or does not exist.
        DamagedFile: it is damaged, or holds something else.
    """
    with open_regular(path) as file:
        if not _verified(file):
            _check_archive(file)
        file.seek(0)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise DamagedFile("it holds other things than tensors and plain values") from error
        except Exception as error:  # torch.load raises many kinds
            raise DamagedFile("PyTorch cannot read it") from error


def _verified(file: BinaryIO) -> bool:
    """Return whether the file has a SHA-256.

    Raises:
        DamagedFile: the SHA-256 is that of other content.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _SEAL_BYTES))
    seal = file.read()
    if not seal.startswith(_DIGEST_PREFIX):
        return False
    if seal != _DIGEST_PREFIX + _digest(file, size - _SEAL_BYTES):
        raise DamagedFile("its SHA-256 is not that of its content")
    return True


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes, in hexadecimal digits; the file is then positioned after them."""
    digest = hashlib.sha256()
    file.seek(0)
    for start in range(0, size, READ_BYTES):
        digest.update(file.read(min(READ_BYTES, size - start)))
    file.seek(size)
    return digest.hexdigest().encode()


def _check_archive(file: BinaryIO) -> None:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # of damaged archives, which share no base
        raise DamagedFile("it is cut short, or no file that PyTorch wrote") from error
    if damaged is not None:
        raise DamagedFile(f"the checksum of its part `{damaged}` does not fit")
