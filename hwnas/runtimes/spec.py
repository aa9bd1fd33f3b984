"""Description of a runtime, read before the runtime is imported. Board side: Python 3.9 syntax, no torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from hwnas.runtimes.runtime import Runtime
    from hwnas.runtimes.setup import Setup


@dataclass(frozen=True)
class Requirement:
    """A runtime's packages on a board."""

    modules: tuple[str, ...]
    """Modules of which any one is enough."""
    pip: tuple[str, ...]
    """Packages to install where none of the modules is there."""
    old: tuple[str, ...] = ()
    """Packages to install instead on an old Python, or on 32-bit ARM."""


@dataclass(frozen=True)
class RuntimeSpec:
    """A runtime, as far as it is known before it is imported.

    Example:
        >>> spec = RuntimeSpec("my_package.mine:open", formats=("onnx",))
        >>> spec.precisions
        {'cpu': ('fp32',)}
    """

    open: str | Callable[[Setup], Runtime]
    """Function that opens it on a set-up, or "module:function", which is imported on use."""
    formats: tuple[str, ...]
    """Names in `hwnas.export.FORMATS` of the files that it runs; it is timed by the first."""
    precisions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"cpu": ("fp32",)})
    """Precisions that it computes in, by accelerator."""
    requirement: Requirement | None = None
    """Packages that it needs on a board; None if no kit can be packed for it."""
    packages: tuple[str, ...] = ()
    """Packages on PyPI whose versions a manifest records."""

    def __post_init__(self) -> None:
        if not self.formats or not self.precisions:
            raise ValueError("a runtime has one format or more, and one accelerator or more with its precisions")
