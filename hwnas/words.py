"""Numbers with the things that they count, lists of things, and values in a line. Board side: Python 3.9 syntax."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

LONGEST_REPR, LONGEST_FIELD = 200, 40
"""Characters of a `repr`, and of one field in it."""
T = TypeVar("T")


def brief(kind: type[T]) -> type[T]:
    """Give a class a `repr` of at most `LONGEST_REPR` characters: its fields in order, long ones by kind and size."""
    kind.__repr__ = _brief_repr  # type: ignore[method-assign]
    return kind


def _brief_repr(self: Any) -> str:
    text = f"{type(self).__name__}({', '.join(_brief_fields(self))})"
    return text if len(text) <= LONGEST_REPR else f"{text[: LONGEST_REPR - 2]}…)"


def _brief_fields(value: Any) -> Iterator[str]:
    names = [field.name for field in fields(value) if field.repr] if is_dataclass(value) else list(vars(value))
    for name in names:
        part = getattr(value, name)
        empty = part is None or (isinstance(part, (str, tuple, list, dict)) and not part)
        if not (empty or name.startswith("_")):
            yield f"{name}={_brief(part)}"


def _brief(value: Any) -> str:
    if isinstance(value, (str, Path)):
        text = str(value)
        return repr(text if len(text) <= LONGEST_FIELD else f"{text[: LONGEST_FIELD - 1]}…")
    if isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, Collection) and not hasattr(value, "name"):
        return f"<{counted(len(value), 'item')}>"
    name = next((named for key in ("name", "key") if isinstance(named := getattr(value, key, None), str)), None)
    return f"<{type(value).__name__}>" if name is None else f"<{type(value).__name__} {name}>"


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 thread`, `2 threads`, `1,000 threads`; `things` is the plural where it is not made by an s.

    >>> counted(1, "error"), counted(0, "error"), counted(1200, "entry", "entries")
    ('1 error', '0 errors', '1,200 entries')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def listed(things: Sequence[str], most: int = 5) -> str:
    """Return the first `most` things, and the number of the others.

    >>> listed(["a", "b", "c"], most=2)
    'a; b; and 1 more'
    """
    return "; ".join(things[:most]) + (f"; and {len(things) - most} more" if len(things) > most else "")
