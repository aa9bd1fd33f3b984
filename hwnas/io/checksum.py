"""Checksums in what is kept, checked when it is read. Board side: Python 3.9 syntax, no numpy.

A JSON line is sealed with the CRC-32 of its canonical form; lines of earlier versions have none and are read as is.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.io.fields import FieldError

CHECKSUM_KEY = "crc32"
READ_BYTES = 1 << 20


class Changed(FieldError):
    """A checksum that does not match."""


def sealed(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its checksum as the last field.

    >>> unsealed(sealed({"a": 1}))
    {'a': 1}
    """
    return {**line, CHECKSUM_KEY: _crc(line)}


def unsealed(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its checksum, which is checked if it has one.

    Raises:
        Changed: the line is not as it was written.
    """
    content = {name: value for name, value in line.items() if name != CHECKSUM_KEY}
    if CHECKSUM_KEY in line and line[CHECKSUM_KEY] != _crc(content):
        raise Changed("its checksum does not fit: it was changed after it was written")
    return content


def _crc(line: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(line, sort_keys=True, separators=(',', ':')).encode()):08x}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
