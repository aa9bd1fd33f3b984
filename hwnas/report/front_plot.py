"""The figure of a front: accuracy over latency, everything evaluated, limits, steps and picks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.report import units
from hwnas.report.facts import FrontPoint, Point, TierFacts
from hwnas.report.plots import Figure, Spec, Tip, front_tip, layout_of, plain, point_tip, thinned, unit_of

PHONE_WIDTH, PHONE_HEIGHT = 270, 320
"""Pixels between the axes on a phone: where labels clear each other there, they do so everywhere."""


def front_figure(tier: TierFacts, colour: str) -> Figure:
    """Accuracy over latency: everything evaluated, limits, the front as steps, picks labelled."""
    front, on_front = tier.ordered, {point.key for point in tier.front}
    scored = [p for p in tier.points if {tier.accuracy.metric, tier.latency.metric} <= p.scores.keys()]
    behind = [p for p in scored if p.broken or p.key not in on_front]
    valid, broken = (_thinned([p for p in behind if bool(p.broken) is breaks]) for breaks in (False, True))
    x_range, y_range = _ranges(tier, [*valid, *broken, *front])
    faint = round(0.42 * min(1.0, (300 / max(len(behind), 1)) ** 0.5), 3)
    cross = {"symbol": "x-thin", "size": 5, "opacity": round(1.3 * faint, 3), "line": {"width": 1.2, "color": "--warn"}}
    retimed = [p for p in front if p.measured_ms is not None]
    topmost = sorted(front, key=lambda point: bool(point.picks))
    traces: list[tuple[Spec, Sequence[Point | FrontPoint]]] = [
        (_marks(tier, broken, "breaks a limit", **cross), broken),
        (_marks(tier, valid, "evaluated", size=5.5 if len(valid) < 600 else 4, color="--muted", opacity=faint), valid),
        (_steps(tier, front, x_range[1], colour), ()),
        (_retimed(tier, retimed, colour), retimed),
        (_front_marks(tier, topmost, colour), topmost),
    ]
    traces = [(trace, points) for trace, points in traces if trace["x"]]
    layout = layout_of(f"{units.label(tier.latency.metric)}{unit_of(tier.latency.metric)}, {tier.latency.origin}", 390)
    layout["xaxis"]["range"], layout["yaxis"]["range"] = x_range, y_range
    layout["yaxis"]["ticksuffix"] = " %" if units.is_fraction(tier.accuracy.metric) else ""
    layout["shapes"] = _limit_shapes(tier, x_range, y_range)
    layout["annotations"] = _pick_labels(tier, front, x_range, y_range, colour)
    words = (
        f"Accuracy over latency of tier {tier.title}: {len(tier.points):,} evaluated networks, {len(front)} on the "
        "front. The same numbers stand in the table of front networks."
    )
    tips = tuple(tuple(_tip(tier, point) for point in points) for _, points in traces)
    notes = tuple(_left_out(len(tier.points), len(scored), len(behind) - len(valid) - len(broken)))
    return Figure(tuple(trace for trace, _ in traces), layout, words, tips, notes)


def _left_out(known: int, scored: int, thinned_out: int) -> Iterator[str]:
    if scored < known:
        yield f"{known - scored:,} of {known:,} evaluated networks broke a limit before both axes were scored."
    if thinned_out > 0:
        yield f"{thinned_out:,} of {known:,} evaluated networks are not drawn, so that the page stays quick."


def _thinned(points: Sequence[Point]) -> list[Point]:
    return [points[i] for i in thinned(len(points))]


def _tip(tier: TierFacts, point: Point | FrontPoint) -> Tip:
    return front_tip(tier, point) if isinstance(point, FrontPoint) else point_tip(tier, point)


def _accuracy(tier: TierFacts, value: float) -> float:
    return round(100 * value, 6) if units.is_fraction(tier.accuracy.metric) else value


def _xy(tier: TierFacts, points: Sequence[Point | FrontPoint]) -> Spec:
    return {
        "x": [p.scores[tier.latency.metric] for p in points],
        "y": [_accuracy(tier, p.scores[tier.accuracy.metric]) for p in points],
    }


def _marks(tier: TierFacts, points: Sequence[Point], name: str, **marker: Any) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "marker": marker,
        "hoverinfo": "none",
        **_xy(tier, points),
    }


def _front_marks(tier: TierFacts, front: Sequence[FrontPoint], colour: str) -> Spec:
    marker = {
        "size": [13 if p.picks else 9 for p in front],
        "color": colour,
        "opacity": 1,
        "symbol": ["circle" if p.kept is not False else "circle-x-open" for p in front],
        "line": {"width": 1.6, "color": ["--card" if p.kept is not False else colour for p in front]},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "front",
        "marker": marker,
        "hoverinfo": "none",
        **_xy(tier, front),
    }


def _steps(tier: TierFacts, front: Sequence[FrontPoint], right: float, colour: str) -> Spec:
    line = _xy(tier, front)
    most = (limit.bound for limit in tier.limits if limit.metric == tier.latency.metric and limit.side == "most")
    end = min([right, *most])
    if front:
        line = {"x": [*line["x"], max(end, line["x"][-1])], "y": [*line["y"], line["y"][-1]]}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front line",
        "hoverinfo": "skip",
        "line": {"shape": "hv", "width": 2, "color": colour},
        "opacity": 0.75,
        **line,
    }


def _retimed(tier: TierFacts, points: Sequence[FrontPoint], colour: str) -> Spec:
    predicted = [p.scores[tier.latency.metric] for p in points]
    measured = [float(p.measured_ms or 0) for p in points]
    gaps = [ms - guess for ms, guess in zip(measured, predicted, strict=True)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "measured",
        "hoverinfo": "none",
        "x": measured,
        "y": _xy(tier, points)["y"],
        "opacity": 0.9,
        "marker": {"symbol": "diamond-open", "size": 7, "color": colour, "line": {"width": 1.4}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(-gap, 0) for gap in gaps],
            "arrayminus": [max(gap, 0) for gap in gaps],
            "color": colour,
            "thickness": 1,
            "width": 0,
        },
    }


def _ranges(tier: TierFacts, points: Sequence[Point | FrontPoint]) -> tuple[list[float], list[float]]:
    """Axis ranges with room for labels above and left of the points; limits close to the points are kept in sight."""
    places = _xy(tier, points)
    x = [*places["x"], *(p.measured_ms for p in tier.front if p.measured_ms is not None)]
    y = list(places["y"])
    if not x:
        x, y = [0.0, 1.0], [0.0, 1.0]
    for limit in tier.limits:
        axis = x if limit.metric == tier.latency.metric else y if limit.metric == tier.accuracy.metric else None
        bound = limit.bound if axis is x else _accuracy(tier, limit.bound)
        if axis is not None and abs(bound - float(np.mean(axis))) < 2 * max(float(np.ptp(axis)), 1e-9):
            axis.append(bound)
    width = max(float(np.ptp(x)), 0.2 * max(x)) or 1.0
    height = max(float(np.ptp(y)), 0.02 * abs(max(y))) or 1.0
    return [max(min(x) - 0.12 * width, 0.0), max(x) + 0.07 * width], [min(y) - 0.13 * height, max(y) + 0.16 * height]


def _limit_shapes(tier: TierFacts, x_range: list[float], y_range: list[float]) -> list[Spec]:
    """A line at each limit on an axis, and a tint over what lies beyond it."""
    shapes: list[Spec] = []
    for limit in tier.limits:
        if limit.metric == tier.latency.metric:
            along, across, bound, (low, high) = "x", "y", limit.bound, x_range
        elif limit.metric == tier.accuracy.metric:
            along, across, bound, (low, high) = "y", "x", _accuracy(tier, limit.bound), y_range
        else:
            continue
        far = high + 10 * (high - low) if limit.side == "most" else low - 10 * (high - low)
        place = {f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1, "layer": "below"}
        tint = {"type": "rect", "fillcolor": "--warn", "opacity": 0.08, "line": {"width": 0}}
        line = {"type": "line", "line": {"color": "--warn", "width": 1.5, "dash": "dash"}}
        shapes.append({**tint, **place, f"{along}0": bound, f"{along}1": far})
        shapes.append({**line, **place, f"{along}0": bound, f"{along}1": bound})
    return shapes


def _pick_labels(
    tier: TierFacts, front: Sequence[FrontPoint], x_range: list[float], y_range: list[float], colour: str
) -> list[Spec]:
    """One label beside each pick, where the front is not: the fastest below, the knee to its upper left, others above.

    Labels are kept inside the plot and apart from each other at a phone's width.
    """
    labels: list[Spec] = []
    placed: list[tuple[float, float, float]] = []
    for point in (p for p in front if p.picks):
        x, y = point.scores[tier.latency.metric], _accuracy(tier, point.scores[tier.accuracy.metric])
        across = (x - x_range[0]) / (x_range[1] - x_range[0]) * PHONE_WIDTH
        down = (y_range[1] - y) / (y_range[1] - y_range[0]) * PHONE_HEIGHT
        text = " · ".join(point.picks)[:40]
        half = 3.7 * len(text) + 4
        left, step = {"knee": (half + 10, -1), "fastest": (0, 1)}.get(text, (0, -1))
        centre = min(max(across - left, half), PHONE_WIDTH - half)
        height = down + 24 * step
        while any(abs(centre - c) < half + h and abs(height - other) < 19 for c, other, h in placed):
            height += 3 * step
        placed.append((centre, height, half))
        labels.append({
            "x": x, "y": y, "text": plain(text), "ax": round(centre - across), "ay": round(height - down),
            "showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": colour, "standoff": 8, "borderpad": 1,
            "bgcolor": "--card", "font": {"size": 12, "color": colour}, "captureevents": False,
        })  # fmt: skip
    return labels
