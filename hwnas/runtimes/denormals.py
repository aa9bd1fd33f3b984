"""Flushing of denormal numbers to zero by this thread's processor. Board side: Python 3.9, no torch.

Random weights can make denormals, which many processors handle far more slowly; data do not. So they are flushed
where files are timed, and nowhere else: Python's own arithmetic would lose its smallest numbers with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from typing import Any

FLUSHING = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
"""By machine, the offset in C's `fenv_t` and the bits that flush denormals: FTZ and DAZ of MXCSR, FZ of FPCR."""
ROOM = 64
"""Bytes that hold a `fenv_t` on either."""


@contextlib.contextmanager
def float_state_restored() -> Iterator[None]:
    """Give back the thread's floating-point state: ONNX Runtime's first session changes that of its caller for good."""
    libm, state = _libm(), ctypes.create_string_buffer(ROOM)
    if libm is None:
        yield
        return
    libm.fegetenv(state)
    try:
        yield
    finally:
        libm.fesetenv(state)


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormals to zero meanwhile, in this thread; no effect on processors other than x86-64 and AArch64."""
    libm, flags = _libm(), FLUSHING.get(platform.machine())
    with float_state_restored():
        if libm is not None and flags is not None:
            state = ctypes.create_string_buffer(ROOM)
            libm.fegetenv(state)
            bits = ctypes.c_uint32.from_buffer(state, flags[0])
            bits.value |= flags[1]
            libm.fesetenv(state)
        yield


def _libm() -> Any | None:
    for name in ("libm.so.6", "libm.so", None):
        with contextlib.suppress(OSError, AttributeError):
            libm = ctypes.CDLL(name)
            libm.fegetenv, libm.fesetenv  # noqa: B018  raises where there is none
            return libm
    return None
