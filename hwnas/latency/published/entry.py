"""Values of a published file, and the rows of hwnas that they become."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hwnas.errors import HwnasError, TableError
from hwnas.measure.table_lines import LONGEST_NS, SHORTEST_NS
from hwnas.ops import Operator, Shape

Fact = int | float | str
Link = tuple[Operator, Shape]


@dataclass(frozen=True)
class PublishedEntry:
    """One value of a published file."""

    line: int
    """Line number in the file, counted from 1."""
    key: str
    """Subject of the value, as it is written in the file."""
    ms: float
    """Milliseconds a call, which is a whole batch; whatever the file says, negative values included."""
    layer: str
    """The kind of layer, as the format calls it."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """Facts in the key by name, `height` and `width` of the input among them."""
    links: tuple[Link, ...] = ()
    """Operators whose latency it is, exactly."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Other numbers of the file about it, such as how often it was timed."""
    absent: bool = False
    """The format's own mark for a value that is not known."""


@dataclass(frozen=True)
class Row:
    """A row to be written: the latency of an operator as one value or a sum of several."""

    link: Link
    parts: tuple[PublishedEntry, ...]

    @property
    def ms(self) -> float:
        """The sum of the parts."""
        return sum(part.ms for part in self.parts)

    @property
    def conditions(self) -> dict[str, Any]:
        """Source of the row: the published keys, and other numbers given for them."""
        more = {part.key: {name: v for name, v in part.more.items() if _is_finite(v)} for part in self.parts}
        numbers = {key: values for key, values in more.items() if values}
        return {"published": [part.key for part in self.parts], **({"told": numbers} if numbers else {})}


def unreadable(where: str, met: str) -> TableError:
    """Return the error about a published file that cannot be understood."""
    return TableError(
        met,
        where=where,
        allowed="docs/reference/tables.md describes the published formats that are read",
        do="Check the file and its format (--format)",
    )


def is_duration(ms: float) -> bool:
    """Return whether a number can be a latency."""
    return SHORTEST_NS <= ms * 1e6 <= LONGEST_NS


@contextmanager
def refusing_odd(where: str) -> Iterator[None]:
    """Turn errors that a reader did not foresee in a published file into the error about it.

    Raises:
        TableError: a value is out of every range, of another kind, or nested too deeply.
    """
    try:
        yield
    except HwnasError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise unreadable(where, "a value of the file is of no kind or size that its format has") from error


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
