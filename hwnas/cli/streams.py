"""Replacement of characters that the output's encoding lacks: another one in their place, never an error."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

HANDLER = "hwnas"
ASCII = {
    "≈": "~",
    "µ": "u",
    "…": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "·": "-",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "↑": "^",
    "↓": "v",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def write_always() -> None:
    """Let standard output and standard error print any text, whatever their encoding."""
    codecs.register_error(HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_plain(error.object, index) for index in range(error.start, error.end)), error.end


def _plain(text: str, index: int) -> str:
    sign = text[index]
    if sign in SUPERSCRIPTS:
        power = "" if index and text[index - 1] in SUPERSCRIPTS else "^"
        return f"{power}{SUPERSCRIPTS.index(sign)}"
    if sign in ASCII:
        return ASCII[sign]
    return unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or "?"
