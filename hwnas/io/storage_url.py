"""URLs of storages: read from the environment where they name it, printed without what they keep secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

from hwnas.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

PUBLIC = frozenset({"charset", "connect_timeout", "host", "mode", "port", "sslmode", "target_session_attrs", "timeout"})
"""The only options of a URL whose values are printed."""
HIDDEN = "***"
_VARIABLE = re.compile(r"env:(\w+)|\$\{(\w+)\}")
_SCHEME = re.compile(r"[a-z][a-z0-9]{0,15}(\+[a-z0-9]{1,15})?://")
_UNLIKELY = re.compile(r"[@;=&#?]")
"""Characters in no name of a host or a database: there, they come from a password that was not quoted."""


def storage_url(storage: str) -> str:
    """Return the URL of a storage: `env:NAME` and `${NAME}` stand for the value of the environment variable.

    Raises:
        ConfigError: there is no such variable.
    """
    named = _VARIABLE.fullmatch(storage)
    if named is None:
        return storage
    name = named[1] or named[2]
    if url := os.environ.get(name):
        return url
    raise ConfigError(
        f"`storage` is `{storage}`, and the environment variable {name} is not set",
        where="search: storage",
        allowed="It holds the URL of a storage, such as postgresql+psycopg://user:password@host/name",
        do=f"Set it: export {name}=URL",
    )


def public_url(storage: str) -> str:
    """Return a storage as it may be printed: no password, only harmless options; the scheme if it is not a URL.

    >>> public_url("postgresql://me:S3/CRET@db.example/studies?sslmode=require&sslpassword=x")
    'postgresql://me:***@db.example/studies?sslmode=require&sslpassword=***'
    >>> public_url("postgresql://me:p@ss@db.example/studies"), public_url("sqlite:///studies.db")
    ('postgresql://...', 'sqlite:///studies.db')
    """
    if _VARIABLE.fullmatch(storage):
        return storage
    url = parsed_url(storage)
    if url is None:
        scheme = _SCHEME.match(storage)
        return f"{scheme[0]}..." if scheme else "(no URL)"
    options = _options(storage)
    if url.password is None and all(name in PUBLIC for name, _ in options):
        return storage
    user = "" if url.username is None and url.password is None else f"{url.username or ''}"
    user += "" if url.password is None else f":{HIDDEN}"
    host = f"[{url.host}]" if url.host and ":" in url.host else url.host or ""
    port = "" if url.port is None else f":{url.port}"
    database = "" if url.database is None else f"/{url.database}"
    shown = "&".join(f"{name}={value if name in PUBLIC else HIDDEN}" for name, value in options)
    return f"{url.drivername}://{user}{'@' if user else ''}{host}{port}{database}{'?' if shown else ''}{shown}"


def has_secrets(storage: str) -> bool:
    """Return whether a part of it must not be printed."""
    return public_url(storage) != storage


def mode_of(storage: str | None) -> int | None:
    """Return the mode of a file that names the storage: for its owner alone if it has secrets, None for the usual."""
    return 0o600 if storage is not None and has_secrets(storage) else None


def parsed_url(storage: str) -> URL | None:
    """Return the URL as SQLAlchemy parses it; None if it does not, or if another part may come from a password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        return None
    user, rest, query = _split(storage)
    is_file = url.get_backend_name() == "sqlite" and url.host is None and not user
    options = _options(storage)
    places = [url.username or "", url.host or "", "" if is_file else url.database or ""]
    places += [name if name not in PUBLIC else value for name, value in options]
    lost = bool(query) and len(options) != len(query.split("&"))
    options_before_user = "=" in user.partition("?")[2]  # as in host?password=a@b
    odd = lost or options_before_user or ("@" in rest and not is_file) or any(map(_UNLIKELY.search, places))
    return None if odd or _SCHEME.match(storage) is None or not storage.isprintable() else url


def driver_message(error: BaseException | str, storage: str) -> str:
    """Return the first line of a database's or its driver's error; only its kind if it may hold a secret of the URL."""
    cause = getattr(error, "orig", None) or error
    kind = type(cause).__name__ if isinstance(cause, BaseException) else "an error"
    lines = str(cause).strip().splitlines()
    url = parsed_url(storage)
    if not lines or url is None or any(secret in lines[0].casefold() for secret in _secrets(url, storage)):
        return kind
    return lines[0]


def _split(storage: str) -> tuple[str, str, str]:
    """Return user and password, the rest of the URL, and of that the options."""
    address = storage.partition("://")[2]
    before, at, after = address.partition("@")
    has_user = bool(at) and "/" not in before.partition(":")[0]  # a password may hold one
    user, rest = (before, after) if has_user else ("", address)
    return user, rest, rest.partition("?")[2]


def _options(storage: str) -> list[tuple[str, str]]:
    return parse_qsl(_split(storage)[2])


def _secrets(url: URL, storage: str) -> Iterator[str]:
    """Yield every secret of a URL in each way in which it may be written."""
    user, _, query = _split(storage)
    written = [user.partition(":")[2], *(option.partition("=")[2] for option in query.split("&"))]
    parsed = [url.password, *(value for name, value in _options(storage) if name not in PUBLIC)]
    public = {value for name, value in _options(storage) if name in PUBLIC}
    for secret in (str(one) for one in (*written, *parsed) if one and one not in public):
        ways = {secret, quote(secret), quote(secret, ""), quote_plus(secret), repr(secret)[1:-1]}
        yield from {way.casefold() for way in (*ways, unquote(secret), unquote_plus(secret)) if way}
