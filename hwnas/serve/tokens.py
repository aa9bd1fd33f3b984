"""Bearer tokens: made with 256 random bits, kept as their SHA-256, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from hwnas.errors import ConfigError, reason
from hwnas.io.atomic import write_file
from hwnas.io.regular import read_regular

TOKEN_BYTES = 32
SCHEME = "bearer "
MOST_TOKEN_CHARACTERS = 512
DIGEST = re.compile(r"[0-9a-f]{64}")


class Tokens:
    """Tokens that are admitted; only their hashes are held.

    A token has 256 random bits: neither salt nor a slow hash would make guessing it harder.

    Args:
        digests: SHA-256 of each, in hexadecimal digits.

    Example:
        >>> token, digest = make_token()
        >>> tokens = Tokens([digest])
        >>> tokens.admits(f"Bearer {token}"), tokens.admits("Bearer guess")
        (True, False)
    """

    def __init__(self, digests: Iterable[str]) -> None:
        self._digests = tuple(digests)

    def __len__(self) -> int:
        return len(self._digests)

    def admits(self, authorization: str) -> bool:
        """Return whether the header `Authorization` bears a token; all are compared, whichever fits."""
        if authorization[: len(SCHEME)].lower() != SCHEME or len(authorization) > MOST_TOKEN_CHARACTERS:
            return False
        digest = _digest(authorization[len(SCHEME) :].strip())
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


def make_token() -> tuple[str, str]:
    """Return a new token and its SHA-256."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token, _digest(token)


def read_tokens(path: Path) -> list[str]:
    """Return the hashes in a file: one a line, `#` begins a comment.

    Raises:
        ConfigError: it cannot be read, or a line holds another thing, which is not repeated.
    """
    try:
        lines = read_regular(path, 1 << 20).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file of tokens cannot be read ({reason(error)})",
            where=str(path),
            allowed="It holds the SHA-256 of a token in each line",
            do=f"Make one: hwnas serve BUNDLE --token-file {path} --make-token",
        ) from error
    digests = []
    for number, line in enumerate(lines, 1):
        digest = line.partition("#")[0].strip()
        if digest and not DIGEST.fullmatch(digest):
            raise ConfigError(
                "the line holds no SHA-256",
                where=f"{path}:{number}",
                allowed="A line is 64 hexadecimal digits, and may have a comment after `#`; a token itself is not kept",
                do="Remove the line, and make a token by --make-token",
            )
        digests += [digest] if digest else []
    return digests


def add_token(path: Path) -> str:
    """Make a token, append its hash to a file that only its owner can read, and return the token."""
    token, digest = make_token()
    known = read_tokens(path) if path.exists() else []
    write_file(path, "".join(f"{one}\n" for one in [*known, digest]), what="file of tokens", mode=0o600)
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
