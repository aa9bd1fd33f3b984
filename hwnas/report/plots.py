"""Figures as plotly.js specifications. Colours are names of CSS variables, so that one palette serves light and dark;
`page.js` fills them in. What a point is stands in `tips`, which the page shows on hover and on tap."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwnas.report import units
from hwnas.report.facts import FrontPoint, Point, ReportFacts, TierFacts, TrainingFacts

TIER_COLOURS = 5
"""How many `--tier-N` the style sheet defines."""

MOST_DRAWN = 6000
"""Points drawn of one kind; SVG stays fluent up to here."""

Spec = dict[str, Any]


@dataclass(frozen=True)
class Tip:
    """What is known of a point: a head, rows of (label, value, origin or empty), and lines of description."""

    head: str
    rows: tuple[tuple[str, str, str], ...] = ()
    lines: tuple[str, ...] = ()

    def as_list(self) -> list[Any]:
        """A compact JSON-ready form."""
        return [self.head, [list(row) for row in self.rows], list(self.lines)]


@dataclass(frozen=True)
class Figure:
    """One plot: traces, layout, a tip for each point of each trace, and what it shows in words."""

    data: tuple[Spec, ...]
    layout: Spec
    label: str
    tips: tuple[tuple[Tip, ...], ...] = ()
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON-ready form that `page.js` reads."""
        tips = [[tip.as_list() for tip in trace] for trace in self.tips]
        return {"data": list(self.data), "layout": self.layout, "tips": tips}


def tier_colour(index: int) -> str:
    """The CSS variable of a tier."""
    return f"--tier-{index % TIER_COLOURS}"


def thinned(count: int, most: int = MOST_DRAWN) -> list[int]:
    """Indices of at most `most` of `count` points, evenly spread, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []


def point_tip(tier: TierFacts, point: Point) -> Tip:
    """What an evaluated architecture is."""
    lines = (point.summary,) if point.summary else ()
    rows = [*_score_rows(tier, point), *_cost_rows(point.params, point.macs)]
    rows += [("Breaks", text, "") for text in point.broken]
    return Tip(point.key, tuple(rows), lines)


def front_tip(tier: TierFacts, point: FrontPoint) -> Tip:
    """What a front network is: scores with origin, costs, and its operators."""
    rows = [*_score_rows(tier, point)]
    if point.low_ms is not None and point.high_ms is not None:
        rows.append(
            ("Interval", f"{units.digits(point.low_ms)} to {units.milliseconds(point.high_ms)}", tier.latency.origin)
        )
    if point.estimated:
        rows.append(("Without a row", point.estimated, tier.latency.origin))
    if point.measured_ms is not None:
        rows.append(("Re-timed", units.milliseconds(point.measured_ms), "measured"))
    if point.test_accuracy is not None:
        rows.append(("Test accuracy", units.percent(point.test_accuracy), "measured"))
    rows += _cost_rows(point.params, point.macs)
    if point.kept is False:
        rows.append(("Re-timing", "fell off the front", "measured"))
    head = f"{' · '.join(point.picks)}  {point.key}" if point.picks else point.key
    return Tip(head, tuple(rows), point.description)


def _score_rows(tier: TierFacts, point: Point | FrontPoint) -> Iterable[tuple[str, str, str]]:
    for objective in (tier.accuracy, tier.latency):
        if objective.metric in point.scores:
            value = units.scored(objective.metric, point.scores[objective.metric])
            yield units.label(objective.metric), value, objective.origin


def _cost_rows(params: int | None, macs: int | None) -> Iterable[tuple[str, str, str]]:
    if params is not None:
        yield "Parameters", units.count(params), "derived"
    if macs is not None:
        yield "MACs", units.macs(macs), "derived"


def agreement_figure(tier: TierFacts, colour: str) -> Figure:
    """Measured over predicted latency with intervals; points on the dotted line were predicted exactly."""
    points = [p for p in tier.ordered if p.measured_ms is not None]
    both = [ms for p in points for ms in (p.measured_ms, p.predicted_ms, p.low_ms, p.high_ms) if ms is not None]
    gap = 0.06 * (max(both) - min(both)) or 0.1 * max(both)
    ends = [max(min(both) - gap, 0.0), max(both) + gap]
    identity = {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": ends,
        "hoverinfo": "skip",
        "name": "exact",
        "line": {"color": "--muted", "width": 1.2, "dash": "dot"},
    }
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": "front",
        "hoverinfo": "none",
        "x": [p.predicted_ms for p in points],
        "y": [p.measured_ms for p in points],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "color": colour,
            "thickness": 1,
            "width": 3,
            "array": [max((p.high_ms or p.predicted_ms) - p.predicted_ms, 0) for p in points],
            "arrayminus": [max(p.predicted_ms - (p.predicted_ms if p.low_ms is None else p.low_ms), 0) for p in points],
        },
        "marker": {
            "size": [9 if p.kept is not False else 12 for p in points],
            "color": colour,
            "opacity": 1,
            "symbol": ["circle" if p.kept is not False else "circle-x-open" for p in points],
            "line": {"width": 1.6, "color": ["--card" if p.kept is not False else colour for p in points]},
        },
    }
    layout = layout_of("Predicted latency (ms)", height=340)
    layout["xaxis"]["range"], layout["yaxis"]["range"] = ends, list(ends)
    words = f"Measured over predicted latency of {len(points)} front networks of tier {tier.title}."
    return Figure((identity, marks), layout, words, ((), tuple(front_tip(tier, p) for p in points)))


def hypervolume_figure(facts: ReportFacts) -> Figure:
    """Hypervolume against trials, each tier as a share of its last value."""
    data, tips = [], []
    for index, tier in enumerate(facts.tiers):
        if not tier.hypervolume or tier.hypervolume[-1] <= 0:
            continue
        chosen = thinned(len(tier.hypervolume))
        values, last = tier.hypervolume, tier.hypervolume[-1]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": plain(tier.name, 24),
                "hoverinfo": "none",
                "x": [i + 1 for i in chosen],
                "y": [round(100 * values[i] / last, 4) for i in chosen],
                "line": {
                    "shape": "hv",
                    "width": 2,
                    "color": tier_colour(index),
                    "dash": ("solid", "dash", "dot")[index % 3],
                },
            }
        )
        tips.append(
            tuple(
                Tip(
                    f"{tier.name}, trial {i + 1}",
                    (
                        ("Hypervolume", f"{values[i]:.4g}", "derived"),
                        ("Of the last", f"{100 * values[i] / last:.1f} %", "derived"),
                    ),
                )
                for i in chosen
            )
        )
    layout = layout_of("Trials", height=300)
    trials = max((len(tier.hypervolume) for tier in facts.tiers), default=1)
    layout["xaxis"]["range"] = [1, max(1.03 * trials, 2)]
    layout["yaxis"] |= {"ticksuffix": " %", "range": [0, 105]}
    return Figure(tuple(data), layout, "Hypervolume after each trial, as a share of the last value.", tuple(tips))


def loss_figure(training: TrainingFacts) -> Figure:
    """Training loss by epoch."""
    return _epochs_figure(training, "Training loss by epoch.", [("Loss", "loss", "--accent", "solid")])


def learning_figure(training: TrainingFacts) -> Figure:
    """Validation accuracy of the largest and the smallest network by epoch."""
    curves = [("Largest", "largest_top1", "--accent", "solid"), ("Smallest", "smallest_top1", "--accent-2", "dash")]
    figure = _epochs_figure(training, "Validation accuracy of the largest and the smallest network by epoch.", curves)
    figure.layout["yaxis"]["ticksuffix"] = " %"
    return figure


def _epochs_figure(training: TrainingFacts, words: str, curves: list[tuple[str, str, str, str]]) -> Figure:
    data, tips = [], []
    for name, attribute, colour, dash in curves:
        known = [(e, getattr(e, attribute)) for e in training.epochs if getattr(e, attribute) is not None]
        accuracy = attribute != "loss"
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(known) < 40 else "lines",
                "name": name,
                "hoverinfo": "none",
                "x": [e.epoch for e, _ in known],
                "y": [round(100 * value, 6) if accuracy else value for _, value in known],
                "line": {"width": 2, "color": colour, "dash": dash},
                "marker": {"size": 5, "color": colour},
            }
        )
        tips.append(
            tuple(
                Tip(
                    f"Epoch {e.epoch}",
                    (
                        (name, units.percent(value) if accuracy else units.digits(value), "measured"),
                        ("Took", units.seconds(e.seconds), "measured"),
                    ),
                )
                for e, value in known
            )
        )
    return Figure(tuple(data), layout_of("Epoch", height=280), words, tuple(tips))


def unit_of(metric: str) -> str:
    """The unit as an axis title ends with it."""
    return " (ms)" if units.quantity(metric).endswith("_ms") else ""


def plain(text: str, most: int = 60) -> str:
    """Text for plotly, which reads a little HTML: escaped, and cut where it is too long."""
    return html.escape(text if len(text) <= most else f"{text[: most - 1]}…", quote=False)


def layout_of(x_title: str, height: int) -> Spec:
    """What all plots share: no title and no legend (the page writes both), no background, room for a phone."""
    axis = {
        "gridcolor": "--grid",
        "zeroline": False,
        "linecolor": "--line",
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "--line",
        "tickfont": {"size": 12},
        "automargin": True,
        "nticks": 7,
    }
    return {
        "height": height,
        "margin": {"l": 44, "r": 10, "t": 8, "b": 46},
        "hovermode": "closest",
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverdistance": 24,
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": "--muted"},
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 8}},
        "yaxis": dict(axis),
    }
