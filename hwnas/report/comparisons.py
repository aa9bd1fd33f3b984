"""Two tables, or two runs, side by side on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report import units
from hwnas.words import counted

if TYPE_CHECKING:
    from hwnas.latency.tables.comparison import RowRatio, TableComparison
    from hwnas.report.units import Units

EXTREME_ROWS = 5
"""Number of rows that are shown of those that became slowest, and of those that became fastest."""


def ratios_table(compared: TableComparison) -> Table:
    """The rows whose ratios are the largest and the smallest."""
    table = _table(f"Rows by their ratio, B over A, of {len(compared.rows)} in both tables")
    table.add_column("operator")
    for head in ("input", "ratio", "95 % interval"):
        table.add_column(head, justify="right", no_wrap=True)
    rows = compared.rows
    shown = rows if len(rows) <= 2 * EXTREME_ROWS else [*rows[:EXTREME_ROWS], None, *rows[-EXTREME_ROWS:]]
    for row in shown:
        table.add_row(*map(Text, ("…", "", "", "") if row is None else _ratio_cells(row)))
    return table


def verdict_lines(compared: TableComparison) -> Iterator[str]:
    """Yield the verdict with its interval, and what it rests on."""
    change = abs(compared.ratio - 1)
    ends = f"ratio {compared.ratio:.4f}, 95 % interval {compared.low:.4f} to {compared.high:.4f}"
    difference = compared.verdict == "no difference"
    yield f"No difference: {ends}." if difference else f"B is {units.percent(change)} {compared.verdict}: {ends}."
    if compared.corrected:
        yield f"Corrected for drift by the reference operator; {compared.as_timed:.4f} as timed."
    else:
        yield "As timed: not corrected for drift, which takes two sittings of one set-up with a reference operator."
    for name, (one, other) in compared.differences.items():
        yield f"{name.replace('_', ' ')}: {one} in A, {other} in B"
    for table, count in (("A", compared.only_first), ("B", compared.only_second)):
        if count:
            yield f"{counted(count, 'row')} in {table} alone."


def fronts_table(tier: str, front: Any, to_text: Units) -> Table:
    """How the fronts of one tier lie."""
    table = _table(f"Tier {tier}: {', '.join(map(to_text.in_sentence, front.objectives))}")
    for head, justify in (("", "left"), ("A", "right"), ("B", "right")):
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    rows = [
        ("networks", *map(str, front.networks)),
        ("hypervolume", *(f"{value:.4g}" for value in front.hypervolume)),
        ("dominated by the other", *map(units.percent, front.dominated)),
        ("alone on the joint front", str(front.only_first), str(front.only_second)),
    ]
    for best in front.best_within:
        within = f"best {to_text.in_sentence(front.objectives[0])} within {to_text.scored(front.cost, best.limit)}"
        rows.append((within, *(to_text.scored(front.objectives[0], value) for value in (best.first, best.second))))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def front_notes(tiers: Mapping[str, Any], only: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield what makes fronts hard to compare, and the tiers of one run alone."""
    for name, front in tiers.items():
        yield from (f"Tier {name}: {note}." for note in front.notes)
    for run, names in only.items():
        if names:
            yield f"{counted(len(names), 'tier')} of {run} alone: {', '.join(names)}."


def _ratio_cells(row: RowRatio) -> tuple[str, str, str, str]:
    return f"{row.op}: {row.knobs}", row.input, f"{row.ratio:.3f}", f"{row.low:.3f} to {row.high:.3f}"


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
