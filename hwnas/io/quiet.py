"""Context managers that silence native libraries and pause the garbage collector. Board side: Python 3.9, no torch."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def suppress_stdio() -> Iterator[None]:
    """Discard everything that the process, native code included, prints meanwhile.

    Works on file descriptors 1 and 2, because compiled libraries do not print through `sys.stdout`; that object is left
    alone, because libraries that are imported meanwhile keep it. For short sections around such a library's calls:
    other threads are muted as well.
    """
    with contextlib.ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # a closed stream has nothing to mute
                kept = os.dup(descriptor)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, descriptor)
        _flush()
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        stack.callback(_flush)
        yield


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Suspend the search for unreachable cycles meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
