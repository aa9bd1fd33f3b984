"""Backends that keep studies: a journal file of our own, or any storage that Optuna has a URL for."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, final

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from hwnas.errors import ConfigError, HwnasError, MissingExtra, RunError, reason
from hwnas.io.fields import FieldError
from hwnas.io.jsonl import truncate_partial_line
from hwnas.io.storage_url import driver_message, parsed_url, public_url, storage_url
from hwnas.registry import optional
from hwnas.search.storage.journal_entries import read_entries, shared_distributions

EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
"""Extra that installs the driver, by kind of database."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's notes on created studies within the block; its verbosity is restored afterwards."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def open_storage(storage: Path | str) -> tuple[BaseStorage, tuple[str, ...]]:
    """Open a storage: a path is a journal file, `grpc://host:port` a served storage, another text Optuna's URL.

    Return it and notices. Either URL may stand in the environment instead: `env:NAME`, `${NAME}`.

    Raises:
        RunError: the journal is damaged, or the server or the database does not answer.
        ConfigError: the URL of a served storage has no port, or another one names no database.
        MissingExtra: grpcio or the driver of the database is not installed.
    """
    if isinstance(storage, Path):
        return journal(storage)
    url = storage_url(storage)
    return (grpc_storage(url) if url.startswith("grpc://") else database(url)), ()


def database(url: str) -> BaseStorage:
    """Open the storage behind Optuna's URL. If processes open a new one at a time, all but one see it half-made.

    Raises:
        ConfigError, RunError, MissingExtra: as of `open_storage`.
    """
    if parsed_url(url) is None:
        raise _no_database("it cannot be read as one; in a password, @ : / ? # % = & are written as %40 %3A %2F ...")
    pauses_s = iter((0.2, 0.5, 1.0, 2.0))
    while True:
        try:
            return optuna.storages.get_storage(url.replace("{", "{{").replace("}", "}}"))  # Optuna formats it
        except Exception as error:  # a database's own errors have no common base
            stated = getattr(error, "statement", None) is not None  # else not even a connection was made
            refused = stated and type(error).__name__ in ("IntegrityError", "ProgrammingError")
            half_made = refused or "already exists" in str(error)
            pause_s = next(pauses_s, None) if half_made or "locked" in str(error) else None
            if pause_s is None:
                raise _unusable(url, error) from error
            time.sleep(pause_s * random.uniform(0.5, 1.5))


def probe(url: str) -> BaseStorage | None:
    """Return the storage behind a URL, None where nothing was ever kept: to open it would make its tables.

    Raises:
        ConfigError, RunError, MissingExtra: as of `open_storage`.
    """
    url = storage_url(url)
    if url.startswith("grpc://"):
        return grpc_storage(url)
    if parsed_url(url) is None:
        return database(url)  # which says why not
    try:
        from sqlalchemy import inspect
        from sqlalchemy.engine import create_engine, make_url

        file = make_url(url).database if url.startswith("sqlite") else None
        engine = None if file and not Path(file).exists() else create_engine(url)
        begun = engine is not None and inspect(engine).has_table("studies")
        if engine is not None:
            engine.dispose()
    except Exception as error:  # a database's own errors have no common base
        raise _unusable(url, error) from error
    return database(url) if begun else None


STORAGE_URLS = (
    "Optuna keeps studies in sqlite:///file.db, postgresql+psycopg://user@host/name, mysql+pymysql://user@host/name"
)


def _no_database(why: str) -> ConfigError:
    return ConfigError(
        f"the storage is no URL of a database ({why})", where="search: storage", allowed=STORAGE_URLS, do="Correct it"
    )


def _unusable(url: str, error: Exception) -> HwnasError:
    """Return the error for a database that cannot be opened, in hwnas's words; its secrets are left out."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if isinstance(error, ArgumentError | NoSuchModuleError):
        return _no_database(driver_message(error, url))
    where, kind = public_url(url), url.partition(":")[0].partition("+")[0]
    if isinstance(error, ImportError):
        extra, why = EXTRAS.get(kind, ""), driver_message(error.__cause__ or error, url)
        return MissingExtra(
            f"the driver of the database cannot be imported ({why})",
            where=where,
            allowed=STORAGE_URLS,
            do=f'Run: pip install "hwnas[{extra}]"' if extra else "Install the driver that the URL names",
        )
    return RunError(
        f"the database cannot be used ({driver_message(error, url)})",
        where=where,
        allowed="It must answer, know the user and hold the database that the URL names",
        do="Start it or correct the URL, then run the same command again",
    )


def grpc_storage(url: str, *, wait_s: float = 10.0) -> BaseStorage:
    """Return the storage behind `grpc://host:port`, which `hwnas serve-storage` serves.

    Raises:
        ConfigError, RunError, MissingExtra: as of `open_storage`.
    """
    host, _, port = url.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not re.fullmatch(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ConfigError(
            f"`{public_url(url)}` does not name a host and a port alone",
            where="search: storage",
            allowed="The form is grpc://host:port, such as grpc://localhost:13000; it takes no user and no password",
            do="Correct it",
        )
    optional("grpc", extra="grpc", why=f"storage {url}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls it experimental
        proxy = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    try:
        proxy.wait_server_ready(timeout=wait_s)
    except ConnectionError as error:
        raise RunError(
            f"no storage is served here ({reason(error)})",
            where=url,
            allowed="A server answers within 10 seconds",
            do="Start one: hwnas serve-storage URL --port PORT",
        ) from error
    return proxy


def journal(path: Path) -> tuple[JournalStorage, tuple[str, ...]]:
    """Open the storage in a journal file, and notices; a last line that was cut off is dropped from the file.

    Raises:
        RunError: the file is damaged elsewhere, or cannot be written.
    """
    notices: tuple[str, ...] = ()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        lock = KernelLock(path)
        lock.acquire()
        cut = lock.dropped_bytes
        lock.release()
        if cut:
            notices = (f"{path}: the last line was cut off while it was written and is dropped",)
        return replayed(path, lock), notices
    except OSError as error:
        raise RunError(
            f"the study cannot be kept here ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable",
            do="Correct its permissions, or name another folder",
        ) from error


def replayed(path: Path, lock: KernelLock | None = None) -> JournalStorage:
    """Return the storage in a journal file, which is read as it is.

    Raises:
        RunError: a line cannot be understood; it is named.
    """
    backend = Journal(path, lock or KernelLock(path))
    try:
        with shared_distributions():
            return JournalStorage(backend)
    except (HwnasError, OSError):
        raise
    except Exception as error:  # what Optuna takes for granted of its own log
        raise damaged(f"{path}:{backend.line}", error) from error


def shown(storage: Path | str) -> str:
    """Return a storage as it may be printed."""
    return str(storage) if isinstance(storage, Path) else public_url(storage)


@contextmanager
def transaction(storage: BaseStorage) -> Iterator[None]:
    """Ensure that all that is written to a storage within the block is on the disk at its end; a journal syncs once.

    Readers see every entry at once, and so does the next process after a kill; a machine that loses power in the
    block may lose its entries.
    """
    backend = getattr(storage, "_backend", None)
    with backend.transaction() if isinstance(backend, Journal) else nullcontext():
        yield


def damaged(where: object, error: Exception) -> RunError:
    """Return the error for a study that cannot be understood."""
    return RunError(
        f"the study is damaged ({_words(error)})",
        where=str(where),
        allowed="A study is a log that Optuna wrote",
        do="Remove it and run the same command again; scores that are stored are not computed again",
    )


def _words(error: Exception) -> str:
    """Return the reason, without Python's own words."""
    if isinstance(error, HwnasError):
        return error.met
    return str(error) if isinstance(error, FieldError) else "it does not follow from what stands before it"


@final
class Journal(JournalFileBackend):
    """Optuna's journal, synced to the disk after every entry, or once after several."""

    def __init__(self, path: Path, lock: KernelLock) -> None:
        super().__init__(str(path), lock)  # type: ignore[arg-type]  # it has the two methods asked for
        self._path, self._kernel_lock, self._waits = path, lock, True
        self._bytes, self.line = [0], 0
        """Offset in bytes at which each line begins, as far as they were read; and the number of the line read last."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Wait for the disk at the end of the block only."""
        self._waits = False
        try:
            yield
        finally:
            self._waits = True
            with self._path.open("ab") as file:
                os.fsync(file.fileno())

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # it need not close
        """Yield the entries after the first `log_number_from`, checked.

        Raises:
            RunError: a line is no entry; it is named.
        """
        first = min(log_number_from, len(self._bytes) - 1)
        begin = self._bytes[first]
        for number, (entry, size) in enumerate(read_entries(self._path, begin, first), first + 1):
            begin, self.line = begin + size, number
            if number == len(self._bytes):
                self._bytes.append(begin)
            if number > log_number_from:
                yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries as whole lines."""
        if self._waits:
            super().append_logs(logs)
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._kernel_lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
        finally:
            self._kernel_lock.release()


@final
class KernelLock:
    """Lock on the journal itself, freed by the kernel when its process is killed.

    Optuna's own locks are files that a killed process leaves behind, and the next one waits 30 s for each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.dropped_bytes = 0
        """Bytes of a cut line that the last `acquire` dropped."""

    def acquire(self) -> bool:
        """Wait for the lock; then nobody is in the middle of a line, and one that was cut off by a kill is dropped."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self.dropped_bytes = truncate_partial_line(self._descriptor)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
