"""A precision for each operator of a network, as one word beside the precisions of whole networks."""

from __future__ import annotations

from collections.abc import Sequence

MIXED_PREFIX = "mixed-"
PRECISION_LETTERS = {"f": False, "i": True}
"""Letters of the word: an operator in fp32, one in int8."""


def mixed_word(int8: Sequence[bool]) -> str:
    """Return the word for an assignment: which operators, in order, are int8.

    >>> mixed_word([False, True, True])
    'mixed-fii'
    """
    return MIXED_PREFIX + "".join("i" if one else "f" for one in int8)


def is_mixed(precision: str | None) -> bool:
    """Return whether a precision is that of single operators."""
    return precision is not None and precision.startswith(MIXED_PREFIX)


def int8_of(word: str) -> tuple[bool, ...]:
    """Return which operators, in order, are int8 by such a word."""
    return tuple(PRECISION_LETTERS[letter] for letter in word.removeprefix(MIXED_PREFIX))
