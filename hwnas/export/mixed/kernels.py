"""Kernels of a model file by the operator of the network that they compute, held against the wishes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hwnas.errors import ConfigError, ExportError, did_you_mean
from hwnas.words import listed

SHOWN_KERNELS = 3
"""Kernels that an error spells out."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that computes; those that move or convert numbers are none."""

    operator: str
    """Name of the network's operator; empty if it is part of none."""
    kind: str
    """The runtime's name of it, such as `QLinearConv`."""
    integer: bool
    weighted: bool = False
    """True if it multiplies by weights."""


@dataclass(frozen=True)
class Mixed:
    """Operators of a network, and those of them that are int8; all others are fp32.

    Args:
        operators: names of all, in order.
        int8: names of those in int8.

    Raises:
        ConfigError: a name is that of no operator.
    """

    operators: tuple[str, ...]
    int8: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.int8:
            if name not in self.operators:
                raise ConfigError(
                    f"`{name}` is to be int8, and the network has no operator of that name: the file would be the "
                    "same without that wish",
                    where="mixed precision",
                    allowed=f"The operators are {', '.join(self.operators)}",
                    do=f"Correct the name. {did_you_mean(name, self.operators)}",
                )


class FileNumbers(NamedTuple):
    """Numbers that a file takes, gives and computes with."""

    whole: bool
    """True if it takes and gives float32 at every precision; else its ends are in its own."""
    signed: bool = False
    """True if integers between its operators are signed."""
    mixed: Mixed | None = None

    @property
    def quantized(self) -> tuple[str, ...] | None:
        """Names of the operators in int8, if not all are."""
        return None if self.mixed is None else self.mixed.int8


def check_kernels(kernels: Sequence[Kernel], int8: Collection[str], *, path: Path, title: str) -> None:
    """Refuse a file whose kernels are others than those that were asked for.

    Args:
        kernels: of the file, as the runtime executes them.
        int8: names of the operators that are to be int8; all others are to be fp32.
        path: of the file.
        title: of its format.

    Raises:
        ConfigError: int8 changes no kernel of an operator that it was asked for.
        ExportError: an operator is not in the precision that it was asked for.
    """
    for name in int8:
        own = [kernel for kernel in kernels if kernel.operator == name]
        floats = [kernel.kind for kernel in own if not kernel.integer]
        if not any(kernel.integer for kernel in own):
            raise ConfigError(
                f"`{name}` is to be int8, which changes no kernel of it: it would stay fp32 ({_shown(floats)})",
                where=f"{title} file {path.name}",
                allowed="An operator is int8 where the runtime has an integer kernel for it",
                do=f"Leave `{name}` in fp32",
            )
        if any(kernel.weighted and not kernel.integer for kernel in own):
            raise ExportError(
                f"`{name}` is to be int8, and {_shown(floats)} of it would stay in floats",
                where=f"{title} file {path.name}",
                allowed="All kernels with weights of an operator in int8 are integer kernels",
                do=f"Leave `{name}` in fp32",
            )
    for name in dict.fromkeys(kernel.operator for kernel in kernels if kernel.operator not in int8):
        integers = [kernel.kind for kernel in kernels if kernel.operator == name and kernel.integer]
        if integers:
            raise ExportError(
                f"`{name or 'a part outside of all operators'}` is to be fp32, and becomes {_shown(integers)}",
                where=f"{title} file {path.name}",
                allowed="An operator in fp32 has no integer kernel",
                do=f"Ask for int8 of `{name}` too, or of none of its neighbours",
            )


def operator_named(parts: Sequence[str], names: Collection[str], *, ending: bool = False) -> str:
    """Return the operator that a scope is inside of, the first part that names one; empty if none does.

    Args:
        parts: of the scope, outermost first.
        names: of the operators.
        ending: whether parts end with a name, after the name of a class.
    """
    for part in parts:
        if not ending and part in names:
            return part
        if ending and (fitting := [name for name in names if part.endswith(f"_{name}")]):
            return max(fitting, key=len)
    return ""


def _shown(kinds: Sequence[str]) -> str:
    counted = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    return listed(counted, SHOWN_KERNELS) if counted else "no kernel that computes"
