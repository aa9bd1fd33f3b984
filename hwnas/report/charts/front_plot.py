"""The chart of a front: accuracy over latency, everything evaluated, limits, steps and picks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.pareto import Limit
from hwnas.report import units
from hwnas.report.charts.chart import Callout, ChartAxis, Figure, Line, Marks, ReferenceLine, Tint, cut
from hwnas.report.charts.plots import front_tip, point_tip, thinned
from hwnas.report.facts import FrontPointFacts, Point, TierFacts

PHONE_WIDTH, PHONE_HEIGHT = 270, 320
"""Pixels between the axes on a phone: where labels clear each other there, they do so everywhere."""

Ends = tuple[float, float]


def front_figure(tier: TierFacts, color: str) -> Figure:
    """Accuracy over latency: everything evaluated, limits, the front as steps, picks labelled."""
    front, on_front = tier.ordered, {point.name for point in tier.front}
    scored = [p for p in tier.points if {tier.accuracy.metric, tier.latency.metric} <= p.scores.keys()]
    behind = [p for p in scored if p.broken or p.key not in on_front]
    valid, broken = (_thinned([p for p in behind if bool(p.broken) is breaks]) for breaks in (False, True))
    drawing = _Drawing(tier, [*valid, *broken, *front])
    faint = round(0.42 * min(1.0, (300 / max(len(behind), 1)) ** 0.5), 3)
    layers = (
        drawing.marks("breaks a limit", broken, "--warn", symbol="cross", opacity=round(1.3 * faint, 3)),
        drawing.marks("evaluated", valid, "--muted", radius=2.8 if len(valid) < 600 else 2, opacity=faint),
        drawing.steps(color),
        drawing.retimed(color),
        drawing.front(color),
    )
    words = (
        f"{tier.units.label(tier.accuracy.metric)} over latency of tier {tier.title}: {len(tier.points):,} evaluated "
        f"networks, {len(front)} on the front. The same numbers stand in the table of front networks."
    )
    rules, tints = drawing.limits
    return Figure(
        tuple(layer for layer in layers if layer.x),
        drawing.x,
        drawing.y,
        390,
        words,
        tints,
        rules,
        tuple(drawing.callouts(color)),
        tuple(_left_out(len(tier.points), len(scored), len(behind) - len(valid) - len(broken))),
    )


def _left_out(known: int, scored: int, thinned_out: int) -> Iterator[str]:
    if scored < known:
        yield f"{known - scored:,} of {known:,} evaluated networks broke a limit before both axes were scored."
    if thinned_out > 0:
        yield f"{thinned_out:,} of {known:,} evaluated networks are not drawn, so that the page stays quick."


def _thinned(points: Sequence[Point]) -> list[Point]:
    return [points[i] for i in thinned(len(points))]


class _Drawing:
    """The axes of a tier's chart, and its layers on them."""

    def __init__(self, tier: TierFacts, points: Sequence[Point | FrontPointFacts]) -> None:
        latency = tier.latency.metric
        self.tier = tier
        self.unit, self.times = "", 1.0
        if tier.units.quantity(latency).unit == "ms":
            unit, self.times = units.time_unit([*(p.scores[latency] for p in points), *self._measured])
            self.unit = f" ({unit})"
        x_ends, y_ends = self._ends(points)
        self.x = ChartAxis(x_ends, f"{tier.units.label(latency)}{self.unit}, {tier.latency.origin}")
        self.y = ChartAxis(y_ends, suffix=" %" if tier.units.is_fraction(tier.accuracy.metric) else "")

    @property
    def _measured(self) -> list[float]:
        return [p.measured_ms for p in self.tier.front if p.measured_ms is not None]

    def _accuracy(self, value: float) -> float:
        return 100 * value if self.tier.units.is_fraction(self.tier.accuracy.metric) else value

    def _places(self, points: Sequence[Point | FrontPointFacts]) -> tuple[list[float], list[float]]:
        """A front's networks stand at their estimates, where there are any: so the front is a front."""
        accuracy, latency = self.tier.accuracy.metric, self.tier.latency.metric
        estimates = [p.estimated_accuracy if isinstance(p, FrontPointFacts) else None for p in points]
        values = [p.scores[accuracy] if e is None else e for p, e in zip(points, estimates, strict=True)]
        return [self.times * p.scores[latency] for p in points], list(map(self._accuracy, values))

    def _ends(self, points: Sequence[Point | FrontPointFacts]) -> tuple[Ends, Ends]:
        """Room for labels above and left of the points; limits close to the points are kept in sight."""
        x, y = self._places(points)
        x += [self.times * ms for ms in self._measured]
        if not x:
            x, y = [0.0, 1.0], [0.0, 1.0]
        for limit in self.tier.limits:
            if (bound := self._bound(limit)) is None:
                continue
            values = x if limit.metric == self.tier.latency.metric else y
            if abs(bound - float(np.mean(values))) < 2 * max(float(np.ptp(values)), 1e-9):
                values.append(bound)
        width = max(float(np.ptp(x)), 0.2 * max(x)) or 1.0
        height = max(float(np.ptp(y)), 0.02 * abs(max(y))) or 1.0
        x_ends = (max(min(x) - 0.12 * width, 0.0), max(x) + 0.07 * width)
        below, above = (0.13, 0.16) if self.tier.accuracy.goal == "max" else (0.16, 0.13)
        return x_ends, (min(y) - below * height, max(y) + above * height)

    def _bound(self, limit: Limit) -> float | None:
        """A limit on one of the axes, in the axis' unit."""
        if limit.metric == self.tier.latency.metric:
            return self.times * limit.bound
        return self._accuracy(limit.bound) if limit.metric == self.tier.accuracy.metric else None

    def marks(self, name: str, points: Sequence[Point], color: str, **looks: Any) -> Marks:
        """Networks that are not on the front."""
        x, y = self._places(points)
        return Marks(name, x, y, color, [point_tip(self.tier, p) for p in points], **looks)

    def front(self, color: str) -> Marks:
        """The networks of the front, picks on top."""
        points = sorted(self.tier.ordered, key=lambda point: bool(point.picks))
        x, y = self._places(points)
        return Marks(
            "front",
            x,
            y,
            color,
            [front_tip(self.tier, p) for p in points],
            radius=[6.5 if p.picks else 4.5 for p in points],
            symbol=["fallen" if p.kept is False else "dot" for p in points],
        )

    def steps(self, color: str) -> Line:
        """Return the line of the best value reached at each latency."""
        x, y = self._places(self.tier.ordered)
        most = [
            self.times * limit.bound
            for limit in self.tier.limits
            if limit.metric == self.tier.latency.metric and limit.side == "most"
        ]
        if x:
            x, y = [*x, max(min([self.x.ends[1], *most]), x[-1])], [*y, y[-1]]
        return Line("front line", x, y, color, steps=True, opacity=0.75)

    def retimed(self, color: str) -> Marks:
        """The measured latencies, with lines to the predicted ones."""
        points = [p for p in self.tier.ordered if p.measured_ms is not None]
        predicted, y = self._places(points)
        measured = [self.times * float(p.measured_ms or 0) for p in points]
        tips = [front_tip(self.tier, p) for p in points]
        gaps = list(zip(measured, predicted, strict=True))
        return Marks("measured", measured, y, color, tips, symbol="diamond", opacity=0.9, across=gaps)

    @property
    def limits(self) -> tuple[tuple[ReferenceLine, ...], tuple[Tint, ...]]:
        """A line at each limit on an axis, and a tint over what lies beyond it."""
        rules, tints = [], []
        (left, right), (bottom, top) = self.x.ends, self.y.ends
        for limit in self.tier.limits:
            if (bound := self._bound(limit)) is None:
                continue
            along_x = limit.metric == self.tier.latency.metric
            low, high = (left, right) if along_x else (bottom, top)
            rules.append(ReferenceLine("x" if along_x else "y", bound, "--warn"))
            near, far = (min(bound, high), high) if limit.side == "most" else (low, max(bound, low))
            box = (near, far, bottom, top) if along_x else (left, right, near, far)
            tints.append(Tint(_corners(*box), "--warn"))
        return tuple(rules), tuple(tints)

    def callouts(self, color: str) -> Iterator[Callout]:
        """Yield one callout at each pick, off the front: the fastest below, the knee at the upper left, others above;
        where low is good, below and above change places.

        They are kept inside the chart and apart from each other at a phone's width.
        """
        placed: list[tuple[float, float, float]] = []
        for point in (p for p in self.tier.ordered if p.picks):
            ((x,), (y,)) = self._places([point])
            across, down = self.x.share(x) / 100 * PHONE_WIDTH, (1 - self.y.share(y) / 100) * PHONE_HEIGHT
            text = cut(" · ".join(point.picks), 40)
            half = 3.7 * len(text) + 4
            left, step = {"knee": (half + 10, -1), "fastest": (0, 1)}.get(text, (0, -1))
            step = step if self.tier.accuracy.goal == "max" else -step
            center = min(max(across - left, half), PHONE_WIDTH - half)
            height = down + 24 * step
            while any(abs(center - c) < half + h and abs(height - other) < 19 for c, other, h in placed):
                height += 3 * step
            placed.append((center, height, half))
            yield Callout(x, y, text, round(center - across), round(height - down), color)


def _corners(left: float, right: float, bottom: float, top: float) -> tuple[Ends, ...]:
    return (left, bottom), (right, bottom), (right, top), (left, top)
