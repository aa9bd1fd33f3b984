"""The page of a comparison: two tables, two runs or two bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Figure, Line, Marks, ReferenceLine, Tip, around
from hwnas.report.comparisons.facts import BundleComparison, RunComparison
from hwnas.report.comparisons.tables import change_words, files_alone, front_facts, front_notes, verdict_lines
from hwnas.report.document import framed
from hwnas.report.markup import Html, el, join
from hwnas.report.parts import Header, TableCell, legend, origin, plot, section, table
from hwnas.words import counted

if TYPE_CHECKING:
    from hwnas.latency.tables.comparison import TableComparison
    from hwnas.pareto import Scores
    from hwnas.report.units import Units

COLORS = ("--tier-0", "--tier-1")
LETTERS = ("A", "B")


def comparison_page(
    compared: TableComparison | RunComparison | BundleComparison,
    names: tuple[str, str],
    *,
    hwnas_version: str,
    created_at: str,
) -> str:
    """Return the page as text; `names` are those of A and B."""
    if isinstance(compared, RunComparison):
        sections, subject = _runs(compared), "runs"
    elif isinstance(compared, BundleComparison):
        sections, subject = _bundles(compared), "bundles"
    else:
        sections, subject = _tables(compared), "latency tables"
    lead = f"Two {subject}. A is {names[0]}, B is {names[1]}."
    heading = f"Two {subject} side by side"
    return framed(
        "comparison",
        f"{names[1]} beside {names[0]}",
        heading,
        lead,
        sections,
        hwnas_version=hwnas_version,
        created_at=created_at,
    )


def _tables(compared: TableComparison) -> dict[str, Html]:
    verdict = el("article", *(el("p", line) for line in verdict_lines(compared)), class_="card")
    axis = el("p", el("b", "B's time over A's"), " with 95 % intervals ", origin("measured"), class_="axis")
    drawn = el("article", axis, plot(ratios_figure(compared)), class_="card")
    headers: list[Header] = [
        ("Operator", None),
        ("Input", None),
        ("B over A", "measured"),
        ("Low", "measured"),
        ("High", "measured"),
    ]
    rows = [
        [
            TableCell(f"{row.op}: {row.knobs}", f"{row.op}: {row.knobs}"),
            TableCell(row.input, row.input),
            *(TableCell(f"{value:.3f}", value) for value in (row.ratio, row.low, row.high)),
        ]
        for row in compared.rows
    ]
    all_rows = el("article", table("Rows of both tables", headers, rows), class_="card")
    say = f"{counted(len(compared.rows), 'row')} that both have; right of the line, B is slower."
    return {
        "Verdict": section("Verdict", change_words(compared), verdict),
        "Rows": section("Rows", "Row by row", drawn, say=say),
        "Table": section("Table", "All rows", all_rows),
    }


def ratios_figure(compared: TableComparison) -> Figure:
    """Return the ratio of each row with its interval, the largest on top."""
    rows = compared.rows
    marks = Marks(
        "rows",
        [row.ratio for row in rows],
        [len(rows) - rank for rank in range(len(rows))],
        "--accent",
        [
            Tip(
                f"{row.op}, {row.input}",
                (("B over A", f"{row.ratio:.3f}", "measured"), ("Interval", f"{row.low:.3f} to {row.high:.3f}", "")),
                (row.knobs,),
            )
            for row in rows
        ],
        radius=3.0,
        across=[(row.low, row.high) for row in rows],
    )
    ends = around([1.0, *(end for row in rows for end in (row.low, row.high))])
    return Figure(
        (marks,),
        ChartAxis(ends, "B's time over A's"),
        ChartAxis((0.0, len(rows) + 1.0), whole=True),
        max(260, min(8 * len(rows) + 90, 900)),
        f"Ratio of {counted(len(rows), 'row')}, B over A, with intervals; geometric mean {compared.ratio:.3f}.",
        rules=(ReferenceLine("x", 1.0, "--muted"), ReferenceLine("x", compared.ratio, "--accent", "dot")),
        notes=("The dashed line is 1, the dotted one the geometric mean; rows are numbered from the fastest of B's.",),
    )


def _runs(compared: RunComparison) -> dict[str, Html]:
    only = {"A": compared.only_first, "B": compared.only_second}
    notes = [el("p", note, class_="note") for note in front_notes(compared.tiers, only)]
    cards = []
    for name, front in compared.tiers.items():
        entries = [("front", color, letter, letter) for letter, color in zip(LETTERS, COLORS, strict=True)]
        quality, cost = front.objectives[:2]
        above = el("p", el("b", f"↑ {compared.units.label(quality)}{compared.units.on_axis(quality)}"), class_="axis")
        figure = fronts_figure(name, compared.fronts[name], (quality, cost), compared.units)
        headers: list[Header] = [("Figure", None), ("A", None), ("B", None)]
        rows = [[TableCell(cell, cell) for cell in cells] for cells in front_facts(front, compared.units)]
        cards.append(
            el(
                "article",
                el("h3", name),
                above,
                plot(figure),
                legend(entries),
                table(f"Fronts of tier {name}", headers, rows),
                class_="card",
            )
        )
    say = "Each tier's two fronts over each other, by the scores that networks are compared by."
    return {"Fronts": section("Fronts", "Fronts", el("div", *cards, class_="grid"), *notes, say=say)}


def fronts_figure(
    tier: str, fronts: tuple[Sequence[Scores], Sequence[Scores]], axes: tuple[str, str], texts: Units
) -> Figure:
    """Return two fronts over each other: the quality over the first cost."""
    quality, cost = axes
    times = 100.0 if texts.is_fraction(quality) else 1.0
    scaled, unit = 1.0, texts.quantity(cost).unit
    if unit == "ms":
        unit, scaled = units.time_unit([row[cost] for side in fronts for row in side])
    layers: list[Marks | Line] = []
    for letter, color, rows in zip(LETTERS, COLORS, fronts, strict=True):
        ordered = sorted(rows, key=lambda row: (row[cost], row[quality]))
        x, y = [scaled * row[cost] for row in ordered], [times * row[quality] for row in ordered]
        tips = [
            Tip(letter, tuple((texts.label(name), texts.scored(name, row[name]), "") for name in row))
            for row in ordered
        ]
        layers += [
            Line(letter, x, y, color, dash="solid" if letter == "A" else "dash", steps=True),
            Marks(letter, x, y, color, tips),
        ]
    return Figure(
        tuple(layers),
        ChartAxis(
            around([value for layer in layers for value in layer.x]),
            f"{texts.label(cost)} ({unit})" if unit else texts.label(cost),
        ),
        ChartAxis(around([value for layer in layers for value in layer.y]), suffix=" %" if times > 1 else ""),
        340,
        f"Fronts of tier {tier} of both runs: {len(fronts[0])} networks of A, {len(fronts[1])} of B.",
    )


def _bundles(compared: BundleComparison) -> dict[str, Html]:
    quality = compared.units.label(compared.quality)
    headers: list[Header] = [
        ("File", None),
        ("Content", None),
        *((f"Size, {letter}", "measured", "B") for letter in LETTERS),
        *((f"{quality}, test, {letter}", "measured") for letter in LETTERS),
        *((f"Latency, {letter}", "measured", "ms") for letter in LETTERS),
        ("B over A", "measured"),
    ]
    rows = [
        [
            TableCell(one.name, one.name),
            TableCell("the same" if one.same else "differs", str(one.same)),
            *(TableCell(units.size(value), value) for value in one.bytes),
            *(TableCell(compared.units.scored(compared.quality, value), value) for value in one.test_quality),
            *(TableCell(units.milliseconds(value), value) for value in one.latency_ms),
            TableCell(units.GAP if one.ratio is None else f"{one.ratio:.3f}", one.ratio),
        ]
        for one in compared.files
    ]
    card = el("article", table("Files of both bundles", headers, rows), class_="card")
    command = el("code", "hwnas verify B --against A")
    say = join("As each export measured it; ", command, " measures both side by side and judges.")
    notes = (el("p", line, class_="note") for line in files_alone(compared))
    sections = {"Files": section("Files", "Files of one name", card, *notes, say=say)}
    if compared.differences:
        sections["Conditions"] = section("Conditions", "What else differs", _conditions(compared.differences))
    return sections


def _conditions(differences: Mapping[str, tuple[object, object]]) -> Html:
    headers: list[Header] = [("Field", None), ("A", None), ("B", None)]
    rows = [
        [TableCell(name, name), *(TableCell(units.GAP if one is None else str(one), str(one)) for one in both)]
        for name, both in differences.items()
    ]
    return el("article", table("Conditions that differ", headers, rows), class_="card")
