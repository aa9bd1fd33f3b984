"""The forms that rows take. Board side: Python 3.9 syntax."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwnas.registry import optional
from hwnas.words import counted

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = Sequence[Mapping[str, Any]]
SHOWN = 12
"""Rows of an HTML table; of more, the last line gives the number."""


def frame(rows: Rows) -> DataFrame:
    """Return the rows as a DataFrame of pandas, a value that a row lacks as missing.

    Raises:
        MissingExtra: pandas is not installed.
    """
    pandas = optional("pandas", extra="frames", why="a result as a frame")
    made: DataFrame = pandas.DataFrame.from_records(list(rows), columns=_columns(rows))
    return made


def csv_text(rows: Rows) -> str:
    """Return the rows as CSV, the columns in the order in which rows name them first; a missing value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def html_table(caption: str, rows: Rows, most: int = SHOWN) -> str:
    """Return a table of the first rows, as notebooks show it: columns of words stand left.

    >>> html_table("", [{"a": 1}])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    return "".join(_pieces(caption, rows, most))


def _pieces(caption: str, rows: Rows, most: int) -> Iterator[str]:
    columns, left = _columns(rows), len(rows) - most
    yield f"<p>{html.escape(caption)}</p>" if caption else ""
    words = [any(isinstance(row.get(column), str) for row in rows[:most]) for column in columns]
    yield f"<table><thead>{_row('th', columns, words)}</thead><tbody>"
    for row in rows[:most]:
        yield _row("td", [_cell(row.get(column)) for column in columns], words)
    if left > 0:
        yield f'<tr><td colspan="{len(columns)}">and {counted(left, "more row")}</td></tr>'
    yield "</tbody></table>"


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _row(kind: str, cells: Sequence[str], words: Sequence[bool]) -> str:
    looks = [' style="text-align:left"' if is_words else "" for is_words in words]
    pairs = zip(cells, looks, strict=True)
    return "<tr>" + "".join(f"<{kind}{look}>{html.escape(cell)}</{kind}>" for cell, look in pairs) + "</tr>"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
