"""Charts as SVG that fits any width: places are percentages, so that the browser lays them out and letters and marks
keep their size. Nothing is needed to draw them, not even JavaScript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas.report.charts.chart import Callout, ChartAxis, Figure, Line, Marks, ReferenceLine, Symbol, Tint
from hwnas.report.markup import Html, el, join, safe_json

SYMBOLS: dict[Symbol, str] = {
    "dot": "",
    "cross": "M-2.5-2.5l5 5m0-5l-5 5",
    "diamond": "M0-4.5L4.5 0 0 4.5-4.5 0z",
    "fallen": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M-4-4l8 8m0-8l-8 8",
}
"""Path of each shape; a dot is a circle."""
DASH_ARRAYS = {"solid": None, "dash": "7 4", "dot": "2 4"}
ABOVE, RIGHT, BELOW = 10, 16, 44
LETTER = 7.0
"""Pixels that a character of a label takes at most."""


def definitions() -> Html:
    """The shapes that charts of a page share."""
    shapes = (el("path", id=f"mark-{name}", d=path) for name, path in SYMBOLS.items() if path)
    return el("svg", el("defs", *shapes), class_="defs", width="0", height="0", aria_hidden="true")


def left_of(figure: Figure) -> int:
    """Pixels that the labels of the y axis take."""
    return round(max((len(label) for _, label in figure.y.ticks), default=1) * LETTER + 12)


def drawn(figure: Figure) -> Html:
    """The chart, with room for its labels around it."""
    whole = chart(figure, width="100%", height=str(figure.height - ABOVE - BELOW))
    room = f"padding:{ABOVE}px {RIGHT}px {BELOW}px {left_of(figure)}px"
    return el("div", whole, class_="canvas", role="img", aria_label=figure.label, style=room)


def chart(figure: Figure, **size: str) -> Html:
    """The chart from axis to axis; its labels stand outside."""
    area = el(
        "svg",
        *(_tint(tint, figure) for tint in figure.tints),
        *(_rule(rule, figure) for rule in figure.rules),
        *(_line(layer, figure) if isinstance(layer, Line) else _marks(layer, figure) for layer in figure.layers),
        class_="area",
        width="100%",
        height="100%",
    )
    return el(
        "svg",
        el("g", *_grid(figure.x, figure.y), class_="rules"),
        area,
        el("g", *_labels(figure), class_="labels"),
        *(_callout(callout, figure) for callout in figure.callouts),
        class_="chart",
        **size,
    )


def tooltip_texts(figure: Figure) -> Html:
    """Return the texts that `page.js` shows for a point under the pointer; texts that recur are stored once."""
    words: dict[str, int] = {}

    def of(text: str) -> int:
        return words.setdefault(text, len(words))

    points = []
    for x, y, tip in figure.tooltips:
        rows = [[of(part) for part in row] for row in tip.rows]
        points.append([round(x, 2), round(y, 2), of(tip.head), rows, [*map(of, tip.lines)]])
    return el("script", safe_json({"words": list(words), "points": points}), type="application/json")


def _percent(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def _at(figure: Figure, x: float, y: float) -> tuple[str, str]:
    return _percent(figure.x.share(x)), _percent(100 - figure.y.share(y))


def _paint(name: str) -> str:
    return f"var({name})"


def _grid(x_axis: ChartAxis, y_axis: ChartAxis) -> Iterator[Html]:
    for value, _ in x_axis.ticks:
        offset = _percent(x_axis.share(value))
        yield el("line", x1=offset, x2=offset, y1="0", y2="100%")
    for value, _ in y_axis.ticks:
        offset = _percent(100 - y_axis.share(value))
        yield el("line", x1="0", x2="100%", y1=offset, y2=offset)
    yield el("line", x1="0", x2="0", y1="0", y2="100%", class_="axis-line")
    yield el("line", x1="0", x2="100%", y1="100%", y2="100%", class_="axis-line")


def _labels(figure: Figure) -> Iterator[Html]:
    for value, label in figure.x.ticks:
        yield el("text", label, x=_percent(figure.x.share(value)), y="100%", dy="18", text_anchor="middle")
    for value, label in figure.y.ticks:
        yield el("text", label, x="-8", y=_percent(100 - figure.y.share(value)), dy="4", text_anchor="end")
    if figure.x.title:
        yield el("text", figure.x.title, x="50%", y="100%", dy="38", text_anchor="middle")


def _stretched(*children: Html) -> Html:
    """Children whose coordinates are percentages, for shapes of many corners."""
    return el("svg", *children, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%")


def _points(figure: Figure, corners: Iterator[tuple[float, float]] | Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{figure.x.share(x):.2f},{100 - figure.y.share(y):.2f}" for x, y in corners)


def _tint(tint: Tint, figure: Figure) -> Html:
    points = _points(figure, tint.corners)
    return _stretched(el("polygon", points=points, fill=_paint(tint.color), opacity=f"{tint.opacity:g}"))


def _rule(rule: ReferenceLine, figure: Figure) -> Html:
    stroke = {"stroke": _paint(rule.color), "stroke_width": "1.5", "stroke_dasharray": DASH_ARRAYS[rule.dash]}
    if rule.axis == "x":
        offset = _percent(figure.x.share(rule.at))
        return el("line", x1=offset, x2=offset, y1="0", y2="100%", **stroke)
    offset = _percent(100 - figure.y.share(rule.at))
    return el("line", x1="0", x2="100%", y1=offset, y2=offset, **stroke)


def _line(line: Line, figure: Figure) -> Html:
    drawing = el(
        "polyline",
        points=_points(figure, line.corners),
        fill="none",
        stroke=_paint(line.color),
        stroke_width=f"{line.width:g}",
        stroke_dasharray=DASH_ARRAYS[line.dash],
        stroke_linejoin="round",
        opacity=f"{line.opacity:g}",
        vector_effect="non-scaling-stroke",
    )
    return el("g", _stretched(drawing), class_="layer", data_name=line.name)


def _marks(marks: Marks, figure: Figure) -> Html:
    count = len(marks.x)
    radii = [marks.radius] * count if isinstance(marks.radius, int | float) else marks.radius
    symbols: Sequence[Symbol] = [marks.symbol] * count if isinstance(marks.symbol, str) else marks.symbol
    shapes = (
        mark(_at(figure, x, y), radius, symbol)
        for x, y, radius, symbol in zip(marks.x, marks.y, radii, symbols, strict=True)
    )
    paint = _paint(marks.color)
    return el(
        "g",
        *_bars(marks, figure),
        *shapes,
        class_="layer",
        data_name=marks.name,
        fill=paint,
        stroke=paint,
        opacity=f"{marks.opacity:g}",
    )


def mark(position: tuple[str, str], radius: float, symbol: Symbol) -> Html:
    """Draw one point."""
    x, y = position
    if symbol == "dot":
        return el("circle", cx=x, cy=y, r=f"{radius:g}", class_="point")
    return el("use", href=f"#mark-{symbol}", x=x, y=y, class_=f"point {symbol}")


def _bars(marks: Marks, figure: Figure) -> Iterator[Html]:
    for (low, high), y in zip(marks.across, marks.y, strict=False):
        (x1, fixed), (x2, _) = _at(figure, low, y), _at(figure, high, y)
        yield el("line", x1=x1, x2=x2, y1=fixed, y2=fixed)
    for (low, high), x in zip(marks.along, marks.x, strict=False):
        (fixed, y1), (_, y2) = _at(figure, x, low), _at(figure, x, high)
        yield el("line", x1=fixed, x2=fixed, y1=y1, y2=y2)


def _callout(callout: Callout, figure: Figure) -> Html:
    x, y = _at(figure, callout.x, callout.y)
    right, down = callout.right, callout.down
    length = (right**2 + down**2) ** 0.5 or 1.0
    start = min(8 / length, 1.0)  # clear of the mark
    baseline = down + (12 if down > 0 else -3)
    line = el("line", x1=f"{start * right:.1f}", y1=f"{start * down:.1f}", x2=f"{right:g}", y2=f"{down:g}")
    words = el("text", callout.text, x=f"{right:g}", y=f"{baseline:g}", text_anchor="middle")
    return el(
        "svg", join(line, words), x=x, y=y, class_="callout", stroke=_paint(callout.color), fill=_paint(callout.color)
    )
