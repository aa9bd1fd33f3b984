"""Two tables, runs or bundles side by side on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report import units
from hwnas.words import counted

if TYPE_CHECKING:
    from hwnas.latency.tables.comparison import RowRatio, TableComparison
    from hwnas.report.comparisons.facts import BundleComparison, FrontComparison
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


def change_words(compared: TableComparison) -> str:
    """Return the verdict in a few words: `B is 3.10 % slower`."""
    if compared.verdict == "no difference":
        return "No difference"
    return f"B is {units.percent(abs(compared.ratio - 1))} {compared.verdict}"


def verdict_lines(compared: TableComparison) -> Iterator[str]:
    """Yield the verdict with its interval, and what it rests on."""
    ends = f"ratio {compared.ratio:.4f}, 95 % interval {compared.low:.4f} to {compared.high:.4f}"
    yield f"{change_words(compared)}: {ends}."
    if compared.corrected:
        yield f"Corrected for drift by the reference operator; {compared.as_timed:.4f} as timed."
    else:
        yield "As timed: not corrected for drift, which takes two sittings of one set-up with a reference operator."
    for name, (one, other) in compared.differences.items():
        yield f"{name.replace('_', ' ')}: {one} in A, {other} in B"
    for table, count in (("A", compared.only_first), ("B", compared.only_second)):
        if count:
            yield f"{counted(count, 'row')} in {table} alone."


def front_facts(front: FrontComparison, to_text: Units) -> Iterator[tuple[str, ...]]:
    """Yield what is told of two fronts: its name, A's value, B's value."""
    yield "networks", *map(str, front.networks)
    yield "hypervolume", *(f"{value:.4g}" for value in front.hypervolume)
    yield "dominated by the other", *map(units.percent, front.dominated)
    yield "alone on the joint front", str(front.only_first), str(front.only_second)
    for best in front.best_within:
        within = f"best {to_text.in_sentence(front.objectives[0])} within {to_text.scored(front.cost, best.limit)}"
        yield within, *(to_text.scored(front.objectives[0], value) for value in (best.first, best.second))


def files_table(compared: BundleComparison) -> Table:
    """The files of one name of two bundles."""
    table = _table(f"Files of {compared.tiers[0]} (A) and {compared.tiers[1]} (B), as each export measured them")
    table.add_column("file")
    test = f"{compared.units.in_sentence(compared.quality)}, test"
    for head in ("", "size A", "B", f"{test} A", "B", "latency A", "B", "B over A"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    for one in compared.files:
        sizes, qualities = (
            map(units.size, one.bytes),
            (compared.units.scored(compared.quality, value) for value in one.test_quality),
        )
        ratio = units.GAP if one.ratio is None else f"{one.ratio:.3f}"
        same = "same" if one.same else "differs"
        cells = (one.name, same, *sizes, *qualities, *map(units.milliseconds, one.latency_ms), ratio)
        table.add_row(*map(Text, cells))
    return table


def files_alone(compared: BundleComparison) -> Iterator[str]:
    """Yield the files of one bundle alone."""
    for letter, names in (("A", compared.only_first), ("B", compared.only_second)):
        if names:
            yield f"{counted(len(names), 'file')} in {letter} alone: {', '.join(names)}."


def bundle_notes(compared: BundleComparison) -> Iterator[str]:
    """Yield the files of one bundle alone, and what else differs."""
    yield from files_alone(compared)
    for name, (first, second) in compared.differences.items():
        yield f"{name}: {first} in A, {second} in B"


def fronts_table(tier: str, front: FrontComparison, to_text: Units) -> Table:
    """How the fronts of one tier lie."""
    table = _table(f"Tier {tier}: {', '.join(map(to_text.in_sentence, front.objectives))}")
    for head, justify in (("", "left"), ("A", "right"), ("B", "right")):
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in front_facts(front, to_text):
        table.add_row(*map(Text, row))
    return table


def front_notes(tiers: Mapping[str, FrontComparison], only: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
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
