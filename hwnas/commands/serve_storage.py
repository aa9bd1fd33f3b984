"""Serving a storage of studies to many clients."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress

from hwnas.errors import ConfigError, HwnasError, RunError
from hwnas.io.storage_url import driver_message, public_url, storage_url
from hwnas.registry import optional
from hwnas.search.storage.backends import database
from hwnas.workspace.progress import Reporter, default_reporter

logger = logging.getLogger(__name__)


def serve_storage(url: str, *, host: str = "localhost", port: int = 13000, reporter: Reporter | None = None) -> None:
    """Serve a database to many searches, until it is interrupted; they name it `grpc://host:port`.

    Args:
        url: Optuna's URL of the database, such as `sqlite:///studies.db`.
        host: address that it is served at.
        port: of that address.
        reporter: receives messages and progress; silent if left out.

    Raises:
        ConfigError: the URL is that of no database.
        RunError: the port is taken, or the database does not answer.
        MissingExtra: grpcio is not installed.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.serve_storage("sqlite:///studies.db", port=13001)  # returns after Ctrl-C
    """
    import optuna

    url = storage_url(url)
    if "://" not in url or url.startswith("grpc://"):
        raise ConfigError(
            f"`{public_url(url)}` cannot be served",
            where="serve-storage",
            allowed="A database's URL is served: sqlite:///studies.db, postgresql+psycopg://user@host/name",
            do="Name a database; Optuna's proxy takes no journal file",
        )
    optional("grpc", extra="grpc", why="hwnas serve-storage")
    try:
        storage = database(url)
        default_reporter(reporter).info(f"serving {public_url(url)} as grpc://{host}:{port}; Ctrl-C ends it")
        logger.info("serving %s on %s:%d", public_url(url), host, port)
        with warnings.catch_warnings(), suppress(KeyboardInterrupt):
            warnings.simplefilter("ignore")  # Optuna calls it experimental
            optuna.storages.run_grpc_proxy_server(storage, host=host, port=port)
    except HwnasError:
        raise
    except Exception as error:  # a database's own errors have no common base
        raise RunError(
            f"the storage cannot be served ({driver_message(error, url)})",
            where=f"{public_url(url)} on {host}:{port}",
            allowed="The database must answer, and the port be free",
            do="Correct the URL, or name another port",
        ) from error
