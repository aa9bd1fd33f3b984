"""Retries for a storage that does not answer for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import optuna

from hwnas.errors import RunError

RETRY_TIMEOUT_S = 180.0
"""Seconds for which a storage may be away."""
FIRST_BACKOFF_S = 0.5

Found = TypeVar("Found")


def retry(
    work: Callable[[], Found], *, patience_s: float = RETRY_TIMEOUT_S, sleep: Callable[[float], None] = time.sleep
) -> Found:
    """Return the result of `work`, which is repeated, less and less often, while the storage does not answer.

    Work that may have been done before the answer was lost must look for its own traces first.

    Raises:
        RunError: the storage stayed away.
    """
    end, pause = time.monotonic() + patience_s, FIRST_BACKOFF_S
    while True:
        try:
            return work()
        except Exception as error:
            if not is_transient(error):
                raise
            if time.monotonic() + pause > end:
                raise _stayed_away(error, patience_s) from error
            sleep(pause)
            pause = min(2 * pause, 10.0)


def _stayed_away(error: Exception, patience_s: float) -> RunError:
    last: BaseException = error
    while last.__cause__ is not None:
        last = last.__cause__
    lines = str(last).strip().splitlines()
    return RunError(
        f"the storage did not answer for {patience_s:g} s ({lines[0] if lines else type(last).__name__})",
        where="search: storage",
        allowed="What was told before is kept there",
        do="Bring it back and run the same command again: it continues",
    )


def is_transient(error: BaseException) -> bool:
    """Return whether an error says that a storage does not answer, and not that it refused."""
    if isinstance(error, optuna.exceptions.StorageInternalError):  # a database's error in Optuna's wrapping
        return error.__cause__ is None or is_transient(error.__cause__)
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return bool(kinds & {"sqlalchemy.OperationalError", "sqlalchemy.InterfaceError", "grpc.RpcError"}) or isinstance(
        error, ConnectionError
    )
