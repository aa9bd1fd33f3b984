"""Tables on a terminal of any width: one that does not fit is stacked, a block of `name: value` lines for each row.
Pipes and files get the whole width."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hwnas.report.units import GAP

UNLIMITED_COLUMNS = 100_000
"""Columns of an output that is not a terminal: nothing is wrapped or cut there."""


def console() -> Console:
    """Standard output, on which text stays as it is: no markup, no colours of numbers.

    The variable COLUMNS, where it is set, says how wide it is.
    """
    columns, lines = shutil.get_terminal_size()
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(markup=False, highlight=False, width=columns if known else UNLIMITED_COLUMNS, height=lines)


def print_table(to: Console, table: Table) -> None:
    """Print a table, or its rows as blocks where it does not fit, between its title and its caption."""
    if table.title:
        to.print(table.title, style="bold")
    title, caption = table.title, table.caption
    table.title = table.caption = None
    try:
        if _least(to, table) <= to.width:
            to.print(table)
        else:
            to.print("\n\n".join("\n".join(block) for block in _blocks(table)) + "\n")
    finally:
        table.title, table.caption = title, caption
    if table.caption:
        to.print(table.caption, style="dim")


def _least(to: Console, table: Table) -> int:
    """Return the least width of the table that cuts no word."""
    whole, words = [], []
    for column in table.columns:
        footer = [column.footer] if table.show_footer else []
        lines = [line for cell in (column.header, *column.cells, *footer) for line in _text(cell).splitlines()]
        pieces = lines if column.no_wrap else [word for line in lines for word in line.split()]
        whole.append(max([column.min_width or 0, *map(cell_len, lines)]))
        words.append(max([column.min_width or 0, *map(cell_len, pieces)]))
    natural = to.measure(table, options=to.options.update(width=UNLIMITED_COLUMNS)).maximum
    return natural - sum(whole) + sum(words)


def _blocks(table: Table) -> Iterator[list[str]]:
    names = [_plain(column.header) for column in table.columns]
    rows: list[Sequence[RenderableType]] = list(zip(*(column.cells for column in table.columns), strict=True))
    if table.show_footer:
        rows.append([column.footer for column in table.columns])
    for row in rows:
        cells = [_plain(cell) for cell in row]
        yield [
            f"{name}: {cell}" if name else cell
            for name, cell in zip(names, cells, strict=True)
            if cell not in ("", GAP)
        ]


def _plain(cell: RenderableType) -> str:
    return " ".join(_text(cell).split())


def _text(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
