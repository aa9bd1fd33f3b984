"""The parts that every section of the page is made of: origin tags, plots, legends, tables, lists of pairs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwnas.report.charts import chart_svg
from hwnas.report.charts.chart import Figure
from hwnas.report.markup import Child, Html, el, join
from hwnas.rows import csv_text

_BARE: Mapping[str, str] = {  # a legend's shapes; {0} is the colour
    "front": '<path d="M0 11H6V6H12V1H18" fill="none" stroke="{0}" stroke-width="2"/>'
    '<circle cx="9" cy="6" r="3.8" fill="{0}"/>',
    "evaluated": '<circle cx="9" cy="6" r="3.4" fill="{0}" opacity=".55"/>',
    "network": '<circle cx="9" cy="6" r="4" fill="{0}"/>',
    "broken": '<path d="M6 3l6 6M12 3l-6 6" stroke="{0}" stroke-width="1.4"/>',
    "measured": '<path d="M9 1.5l4.5 4.5L9 10.5 4.5 6z" fill="none" stroke="{0}" stroke-width="1.5"/>',
    "off": '<circle cx="9" cy="6" r="5" fill="none" stroke="{0}" stroke-width="1.6"/>'
    '<path d="M5.5 2.5l7 7M12.5 2.5l-7 7" stroke="{0}" stroke-width="1.4"/>',
    "interval": '<path d="M1 6H17M1 3v6M17 3v6" stroke="{0}" stroke-width="1.3"/>',
    "solid": '<path d="M0 6H18" stroke="{0}" stroke-width="2.2"/>',
    "dash": '<path d="M0 6H18" stroke="{0}" stroke-width="2" stroke-dasharray="6 3"/>',
    "dot": '<path d="M0 6H18" stroke="{0}" stroke-width="2" stroke-dasharray="2 3"/>',
}


LegendEntry = tuple[str, str, str, *tuple[str, ...]]
"""Shape, CSS variable, meaning, and the layers of the chart that it names."""


Header = tuple[str, str | None] | tuple[str, str | None, str]
"""Name of a column, the origin of its values, and their unit in a file."""


NOWRAP_CHARACTERS = 24
"""Words of a table that are longer than this may be broken into lines."""


@dataclass(frozen=True)
class TableCell:
    """One cell of a table; `sort` is what its column is ordered by, None for a gap."""

    shown: str
    sort: float | str | None = None


def origin(name: str) -> Html:
    """The small tag that says where a number comes from."""
    return el("span", name, class_=f"origin {name}")


def with_code(text: str) -> Html:
    """Return text whose parts between backticks are set as code."""
    return join(*(el("code", part) if odd % 2 else part for odd, part in enumerate(text.split("`"))))


def plot(figure: Figure) -> Html:
    """A plot with its tip, which `page.js` shows, and its notes."""
    tip = el("div", class_="tip", role="status", hidden="")
    box = el("div", chart_svg.tooltip_texts(figure), chart_svg.drawn(figure), tip, class_="plot")
    return join(box, *(el("p", note, class_="note") for note in figure.notes))


def legend(entries: Iterable[LegendEntry]) -> Html:
    """A legend from its entries; a click on an entry hides its layers."""
    items = []
    for shape, color, meaning, *layers in entries:
        drawing = Html(_BARE[shape].replace("{0}", f"var({color})"))
        label = join(el("svg", drawing, viewBox="0 0 18 12", aria_hidden="true"), meaning)
        pressed = {"type": "button", "aria_pressed": "true", "data_layers": json.dumps(layers)}
        items.append(el("li", el("button", label, **pressed) if layers else label))
    return el("ul", *items, class_="legend")


def pairs(rows: Iterable[tuple[str, Child]], class_: str = "pairs") -> Html:
    """Terms with their values."""
    return el("dl", *(el("div", el("dt", term), el("dd", value)) for term, value in rows), class_=class_)


def table(caption: str, headers: Sequence[Header], rows: Sequence[Sequence[TableCell]]) -> Html:
    """A table, a block for each row where it is too wide; a click on a header sorts it, and a link saves it as CSV.

    The first column names the row. It and columns of words are left aligned; a column of gaps alone is left out.
    """
    known = [i for i in range(len(headers)) if any(row[i].sort is not None for row in rows)]
    classes = {i: _class([row[i] for row in rows]) for i in known}
    heads = [
        el(
            "th",
            el("button", headers[i][0], type="button"),
            None if (source := headers[i][1]) is None else origin(source),
            scope="col",
            class_=classes[i],
        )
        for i in known
    ]
    body = [el("tr", *(_cell(row[i], headers[i], classes[i], first=i == 0) for i in known)) for row in rows]
    made = el("table", el("thead", el("tr", *heads)), el("tbody", *body), class_="sortable", aria_label=caption)
    region = el("div", made, class_="scroll", role="region", aria_label=caption, tabindex="0")
    return join(region, _csv_link(caption, [headers[i] for i in known], [[row[i] for i in known] for row in rows]))


def _csv_link(caption: str, headers: Sequence[Header], rows: Sequence[Sequence[TableCell]]) -> Html:
    """A link to the table as CSV: numbers as they were, units and origins in the header."""
    names = [_column(header) for header in headers]
    text = csv_text([dict(zip(names, (cell.sort for cell in row), strict=True)) for row in rows])
    data = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
    name = f"{re.sub('[^a-z0-9]+', '-', caption.lower()).strip('-')[:80]}.csv"
    return el("p", el("a", "CSV", href=data, download=name, aria_label=f"{caption} as CSV"), class_="save")


def _column(header: Header) -> str:
    """`Latency (ms), predicted`."""
    name, source, *unit = header
    return f"{name}{f' ({unit[0]})' if unit and unit[0] else ''}{f', {source}' if source else ''}"


def _class(column: Sequence[TableCell]) -> str | None:
    """Return the class of a column of words, None of one of numbers."""
    if any(not isinstance(cell.sort, str | None) for cell in column):
        return None
    texts = [re.sub("<[^>]*>", "", cell.shown) for cell in column]
    if not any(character.isalpha() for text in texts for character in text):
        return None
    return "left words" if max(map(len, texts)) > NOWRAP_CHARACTERS else "left"


def _cell(cell: TableCell, header: Header, class_: str | None, *, first: bool) -> Html:
    sort = "" if cell.sort is None else str(cell.sort)
    if first:
        return el("th", cell.shown, scope="row", data_sort=sort)
    name, source, *_ = header
    return el(
        "td", cell.shown, data_sort=sort, data_label=name if source is None else f"{name}, {source}", class_=class_
    )


def section(anchor: str, title: str, *children: Child, say: Child = None) -> Html:
    """A section with its heading and a sentence on how to read it."""
    note = None if say is None else el("p", say, class_="say")
    return el("section", el("h2", title, id=anchor), note, *children, aria_labelledby=anchor)
