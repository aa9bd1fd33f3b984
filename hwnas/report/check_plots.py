"""Figures of a checked table: predicted against measured with bands, and the error of each network beside the noise."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.report import units
from hwnas.report.check import NAMES, Checked, CheckedNetwork, error
from hwnas.report.plots import Figure, Spec, Tip, layout_of

BANDS = (0.10, 0.05)
"""Errors that are shaded, as fractions, the wide one first."""


def model_figure(checked: Checked) -> Figure:
    """Measured over predicted latency with 90 % intervals, and where errors of 5 and 10 % lie."""
    networks = checked.networks
    predicted = [n.predicted_ms for n in networks]
    marks = _marks(predicted, [n.measured_ms for n in networks], "--accent", size=7)
    marks["error_x"] = {
        "type": "data", "symmetric": False, "color": "--accent", "thickness": 1, "width": 2,
        "array": [max(n.high_ms - n.predicted_ms, 0) for n in networks],
        "arrayminus": [max(n.predicted_ms - n.low_ms, 0) for n in networks],
    }  # fmt: skip
    ends = _ends([*predicted, *(n.measured_ms for n in networks)])
    words = f"Measured over predicted latency of {len(networks)} unseen networks, with 90 % intervals."
    return _over_bands(marks, ends, 400, words, networks)


def baseline_figure(checked: Checked, name: str) -> Figure:
    """The same for a baseline; all baselines share their axes."""
    networks = checked.networks
    everything = [ms for n in networks for ms in (n.measured_ms, *n.baselines_ms.values())]
    marks = _marks([n.baselines_ms[name] for n in networks], [n.measured_ms for n in networks], "--accent-2", size=6)
    words = f"Measured latency over the prediction by the {NAMES[name]}."
    return _over_bands(marks, _ends(everything), 280, words, networks)


def errors_figure(checked: Checked) -> Figure:
    """The error of each network, from too fast to too slow, beside what timing it again changed."""
    networks = sorted(checked.networks, key=lambda n: n.error)
    ranks = list(range(1, len(networks) + 1))
    noise = _marks(ranks, [round(100 * n.noise, 4) for n in networks], "--muted", size=6)
    noise["marker"] |= {"symbol": "diamond-open", "line": {"width": 1.3, "color": "--muted"}}
    errors = _marks(ranks, [round(100 * n.error, 4) for n in networks], "--accent", size=7)
    layout = layout_of("Networks by error", 340)
    most = max([*(abs(100 * n.error) for n in networks), *(abs(100 * n.noise) for n in networks), 5.5])
    layout["xaxis"]["range"] = [0.2, len(networks) + 0.8]
    layout["yaxis"] |= {"range": [-1.08 * most, 1.08 * most], "ticksuffix": " %"}
    beyond = [0.0, len(networks) + 1.0]
    layout["shapes"] = [_tint([(beyond[0], -b), (beyond[1], -b), (beyond[1], b), (beyond[0], b)])
                        for b in (100 * band for band in BANDS)]  # fmt: skip
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "layer": "below"}
    layout["shapes"].append({**zero, "line": {"color": "--muted", "width": 1.2, "dash": "dot"}})
    words = f"Errors of {len(networks)} unseen networks in order, and the change of a second timing."
    tips = tuple(_tip(n) for n in networks)
    return Figure((noise, errors), layout, words, (tips, tips))


def _over_bands(marks: Spec, ends: list[float], height: int, words: str, networks: Sequence[CheckedNetwork]) -> Figure:
    exact = {
        "type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip", "name": "exact",
        "line": {"color": "--muted", "width": 1.2, "dash": "dot"},
    }  # fmt: skip
    layout = layout_of("Predicted latency (ms)", height)
    layout["xaxis"]["range"], layout["yaxis"]["range"] = ends, list(ends)
    far = 2 * ends[1]
    layout["shapes"] = [_tint([(0, 0), (far * (1 - b), far), (far * (1 + b), far)]) for b in BANDS]
    return Figure((exact, marks), layout, words, ((), tuple(_tip(n) for n in networks)))


def _marks(x: Sequence[float], y: Sequence[float], colour: str, *, size: float) -> Spec:
    marker = {"size": size, "color": colour, "opacity": 0.85, "line": {"width": 0.8, "color": "--card"}}
    return {"type": "scatter", "mode": "markers", "hoverinfo": "none", "x": list(x), "y": list(y), "marker": marker}


def _tint(corners: Sequence[tuple[float, float]]) -> Spec:
    path = " L ".join(f"{x:.10g},{y:.10g}" for x, y in corners)
    return {"type": "path", "path": f"M {path} Z", "fillcolor": "--accent", "opacity": 0.09, "line": {"width": 0},
            "layer": "below"}  # fmt: skip


def _ends(values: Sequence[float]) -> list[float]:
    gap = 0.06 * (max(values) - min(values)) or 0.1 * max(values)
    return [max(min(values) - gap, 0.0), max(values) + gap]


def _tip(network: CheckedNetwork) -> Tip:
    interval = f"{units.digits(network.low_ms)} to {units.milliseconds(network.high_ms)}"
    rows = (
        ("Predicted", units.milliseconds(network.predicted_ms), "predicted"),
        ("Interval", interval, "predicted"),
        ("Measured", units.milliseconds(network.measured_ms), "measured"),
        ("Again", units.milliseconds(network.again_ms), "measured"),
        ("Error", error(network.error), ""),
        *((NAMES[name], units.milliseconds(ms), "predicted") for name, ms in network.baselines_ms.items()),
        ("MACs", units.macs(network.macs), "derived"),
    )
    return Tip(network.key, rows)
