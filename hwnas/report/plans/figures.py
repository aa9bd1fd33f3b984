"""Charts of plans: who wins at which link, accuracy against latency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Figure, Marks, Tint, Tip, around
from hwnas.report.plans.table import KIND_NAMES, asked_text, networks_of, plan_title, quality_text

KIND_COLORS = {"edge_only": "--tier-0", "cloud_only": "--tier-1", "split": "--tier-2", "cascade": "--tier-3"}


def regime_figure(document: Mapping[str, Any]) -> Figure:
    """The winner at each rate up and round trip of a constant link, by the colour of its kind."""
    regimes, plans = document["regimes"], {plan["name"]: plan for plan in document["plans"]}
    rates, rtts = (len(regimes[key]) for key in ("up_mbps", "rtt_ms"))
    tints, marks = [], dict[str, tuple[list[float], list[float], list[Tip]]]()
    for i in range(rates):
        for j in range(rtts):
            plan = plans[regimes["winners"][i][j]]
            corners = [(i - 0.5, j - 0.5), (i + 0.5, j - 0.5), (i + 0.5, j + 0.5), (i - 0.5, j + 0.5)]
            tints.append(Tint(corners, KIND_COLORS[plan["kind"]], 0.45))
            x, y, tips = marks.setdefault(plan["kind"], ([], [], []))
            x.append(float(i))
            y.append(float(j))
            tips.append(_regime_tip(regimes, i, j, plan))
    names = [tuple(units.digits(float(f"{value:.2g}")) for value in regimes[key]) for key in ("up_mbps", "rtt_ms")]
    decades = tuple("" if index % 3 else name for index, name in enumerate(names[0]))  # all would overlap on a phone
    layers = tuple(
        Marks(KIND_NAMES[kind], x, y, KIND_COLORS[kind], tips, radius=2.5) for kind, (x, y, tips) in marks.items()
    )
    return Figure(
        layers,
        ChartAxis((-0.5, rates - 0.5), "Mbps up", names=decades),
        ChartAxis((-0.5, rtts - 0.5), names=names[1]),
        380,
        "Winning plan by rate and round trip",
        tints=tuple(tints),
    )


def _regime_tip(regimes: Mapping[str, Any], i: int, j: int, plan: Mapping[str, Any]) -> Tip:
    rows = (
        ("Rate up", f"{regimes['up_mbps'][i]:.3g} Mbps", ""),
        ("Round trip", units.milliseconds(regimes["rtt_ms"][j]), ""),
        ("Mean latency", units.milliseconds(regimes["mean_ms"][i][j]), "predicted"),
    )
    return Tip(plan_title(plan), rows, (networks_of(plan),))


def latency_figure(document: Mapping[str, Any]) -> Figure:
    """Accuracy against median latency, on a logarithmic axis, a point for each plan."""
    plans, share = document["plans"], document["quality"]["unit"] == "fraction"
    layers = []
    for kind, color in KIND_COLORS.items():
        some = [plan for plan in plans if plan["kind"] == kind]
        if some:
            x = [math.log10(plan["latency_ms"]["p50"]) for plan in some]
            y = [(100 if share else 1) * plan["accuracy"] for plan in some]
            radii = [5.0 if plan["on_front"] else 3.0 for plan in some]
            layers.append(
                Marks(KIND_NAMES[kind], x, y, color, [_plan_tip(document, plan) for plan in some], radius=radii)
            )
    xs, ys = ([value for layer in layers for value in getattr(layer, axis)] for axis in ("x", "y"))
    return Figure(
        tuple(layers),
        ChartAxis(around(xs), "Median latency (ms), logarithmic", logarithmic=True),
        ChartAxis(around(ys), suffix=" %" if share else ""),
        380,
        "Accuracy against median latency",
    )


def _plan_tip(document: Mapping[str, Any], plan: Mapping[str, Any]) -> Tip:
    latency = plan["latency_ms"]
    rows = (
        ("Accuracy", quality_text(document, plan["accuracy"]), ""),
        ("p50", units.milliseconds(latency["p50"]), "predicted"),
        ("p95", units.milliseconds(latency["p95"]), "predicted"),
        ("p99", units.milliseconds(latency["p99"]), "predicted"),
        ("Sent", units.size(plan["bytes"]), ""),
        ("Asked", asked_text(plan), ""),
    )
    return Tip(plan_title(plan), rows, (networks_of(plan),))
