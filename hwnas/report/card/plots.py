"""Plots of a model card, as SVG files: the front with its picks, and the recall of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwnas.report.charts.chart import Callout, ChartAxis, Figure, Line, Marks, around
from hwnas.report.charts.chart_file import Chart
from hwnas.report.units import Units

HEIGHT = 320
CLASSES_DRAWN = 20


def front_chart(points: Sequence[Mapping[str, float]], picks: Mapping[int, str], x: str, y: str, units: Units) -> Chart:
    """Return a front over two metrics.

    Args:
        points: values by metric, of each network.
        picks: names of some, by number.
        x: metric across.
        y: metric up.
        units: texts of values.
    """
    scale = 100 if units.is_fraction(y) else 1
    across, up = [point[x] for point in points], [scale * point[y] for point in points]
    order = sorted(range(len(points)), key=lambda number: across[number])
    line = Line("front", [across[i] for i in order], [up[i] for i in order], "--accent", opacity=0.35)
    dots = Marks("networks", across, up, "--accent", opacity=0.7)
    chosen = Marks("picks", [across[i] for i in picks], [up[i] for i in picks], "--accent-2", radius=6)
    notes = tuple(Callout(across[i], up[i], name, 10, 16, "--ink") for i, name in picks.items())
    figure = Figure(
        (line, dots, chosen),
        ChartAxis(around(across), f"{units.label(x)} ({units.quantity(x).unit or 'count'}), measured or predicted"),
        ChartAxis(around(up, 0.2), "", " %" if scale == 100 else ""),
        HEIGHT,
        f"{units.label(y)} over {units.label(x)}: {len(points)} networks of the front, {len(picks)} of them exported",
        callouts=notes,
    )
    legend = (("--accent", "front, validation"), ("--accent-2", "in this bundle"))
    return Chart(figure, f"{units.label(y)} over {units.label(x)}, validation", legend)


def recall_chart(names: Sequence[str], recalls: Mapping[str, Sequence[float]]) -> Chart | None:
    """Return the recall of each class on the test samples, by network; None if classes are too many to be drawn."""
    if not recalls or len(names) > CLASSES_DRAWN:
        return None
    colors = ("--accent", "--accent-2", "--muted")
    shown = list(recalls.items())[: len(colors)]
    layers = tuple(
        Marks(name, [index + 0.16 * number for index in range(len(names))], [100 * value for value in values], color)
        for number, ((name, values), color) in enumerate(zip(shown, colors, strict=False))
    )
    values = [100 * value for _, row in shown for value in row]
    figure = Figure(
        layers,
        ChartAxis((-0.5, len(names) - 0.5), "Class", names=tuple(str(name)[:9] for name in names)),
        ChartAxis((max(min(values) - 5, 0), 101), "", " %"),
        HEIGHT,
        "Share of the test samples of each class that are named right",
    )
    legend = tuple((color, name) for (name, _), color in zip(shown, colors, strict=False))
    return Chart(figure, "Recall by class, test, measured", legend)
