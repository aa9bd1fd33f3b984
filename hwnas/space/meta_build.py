"""Modules that are built for their structure only: no memory for weights, and the global generator as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def weightless(build: Callable[[], T]) -> T:
    """Return the result of `build`, run with `torch.empty` on `meta`, so that layers get weights without memory.

    All else is computed as ever: tables in buffers hold their values, and `torch.linspace(...)` can be read. A `build`
    that needs what is in its weights is called once more and gets them. The CPU's generator starts at seed 0 and is
    put back, so what is built is the same at every call. Nothing is done where torch was not imported yet.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return build()
    mode = _mode()()
    try:
        with _aside(torch), mode:
            return build()
    except Exception:
        if not mode.used:
            raise
    with _aside(torch):
        return build()


@contextmanager
def _aside(torch: Any) -> Iterator[None]:
    on_meta = torch.get_default_device().type == "meta"
    with torch.random.fork_rng(devices=[]), torch.device("cpu") if on_meta else nullcontext():
        torch.default_generator.manual_seed(0)  # `torch.manual_seed` would reseed every GPU, and takes 0.2 ms
        yield


@cache
def _mode() -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    class EmptyOnMeta(TorchFunctionMode):
        used = False

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func is torch.empty and kwargs.get("device") is None:
                self.used, kwargs = True, {**kwargs, "device": "meta"}
            return func(*args, **kwargs)

    return EmptyOnMeta
