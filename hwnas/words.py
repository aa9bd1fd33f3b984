"""Numbers with the things that they count, and lists of things. Board side: Python 3.9 syntax."""

from __future__ import annotations

from collections.abc import Sequence


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
