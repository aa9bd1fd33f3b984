"""Networks built once for all of their segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

ROOTS: ContextVar[dict[Any, Any] | None] = ContextVar("ROOTS", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Take segments of one network out of one module instead of one each, for the duration of the context."""
    token = ROOTS.set({})
    try:
        yield
    finally:
        ROOTS.reset(token)
