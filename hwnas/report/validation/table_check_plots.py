"""Charts of a checked table: predicted against measured with bands, and the error of each network beside the noise."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.report import units
from hwnas.report.charts.chart import ChartAxis, Figure, Marks, ReferenceLine, Tint, Tip, around
from hwnas.report.charts.plots import exactly
from hwnas.report.validation.table_check import BASELINE_NAMES, Checked, CheckedNetwork, error

BANDS = (0.10, 0.05)
"""Errors that are shaded, as fractions, the wide one first."""


def unit_of(checked: Checked) -> tuple[str, float]:
    """The unit of all charts of a check, and what milliseconds are multiplied with."""
    return units.time_unit(ms for n in checked.networks for ms in (n.measured_ms, n.predicted_ms))


def model_figure(checked: Checked) -> Figure:
    """Measured over predicted latency with 90 % intervals, and where errors of 5 and 10 % lie."""
    networks, (unit, times) = checked.networks, unit_of(checked)
    predicted, measured = [times * n.predicted_ms for n in networks], [times * n.measured_ms for n in networks]
    marks = Marks(
        "networks",
        predicted,
        measured,
        "--accent",
        list(map(_tip, networks)),
        radius=3.5,
        opacity=0.85,
        across=[(times * n.low_ms, times * n.high_ms) for n in networks],
    )
    words = f"Measured over predicted latency of {len(networks)} unseen networks, with 90 % intervals."
    return _over_bands(marks, _ends([*predicted, *measured]), 400, words, unit)


def baseline_figure(checked: Checked, name: str) -> Figure:
    """The same for a baseline; all baselines share their axes."""
    networks, (unit, times) = checked.networks, unit_of(checked)
    everything = [times * ms for n in networks for ms in (n.measured_ms, *n.baselines_ms.values())]
    marks = Marks(
        "networks",
        [times * n.baselines_ms[name] for n in networks],
        [times * n.measured_ms for n in networks],
        "--accent-2",
        list(map(_tip, networks)),
        radius=3,
        opacity=0.85,
    )
    words = f"Measured latency over the prediction by the {BASELINE_NAMES[name]}."
    return _over_bands(marks, _ends(everything), 280, words, unit)


def errors_figure(checked: Checked) -> Figure:
    """The error of each network, from too fast to too slow, beside what timing it again changed."""
    networks = sorted(checked.networks, key=lambda n: n.error)
    ranks, tips = list(range(1, len(networks) + 1)), list(map(_tip, networks))
    noise = Marks("timed again", ranks, [100 * n.noise for n in networks], "--muted", tips, symbol="diamond")
    errors = Marks("predicted", ranks, [100 * n.error for n in networks], "--accent", tips, radius=3.5)
    most = 1.08 * max([*(abs(100 * n.error) for n in networks), *(abs(100 * n.noise) for n in networks), 5.5])
    left, right = 0.2, len(networks) + 0.8
    tints = tuple(
        Tint([(left, -b), (right, -b), (right, b), (left, b)], "--accent", 0.09) for b in (100 * band for band in BANDS)
    )
    words = f"Errors of {len(networks)} unseen networks in order, and the change of a second timing."
    return Figure(
        (noise, errors),
        ChartAxis((left, right), "Networks by error", whole=True),
        ChartAxis((-most, most), suffix=" %"),
        340,
        words,
        tints,
        (ReferenceLine("y", 0.0, "--muted", "dot"),),
    )


def _over_bands(marks: Marks, ends: tuple[float, float], height: int, words: str, unit: str) -> Figure:
    far = 2 * ends[1]
    tints = tuple(Tint([(0, 0), (far * (1 - b), far), (far * (1 + b), far)], "--accent", 0.09) for b in BANDS)
    return Figure(
        (exactly(ends), marks), ChartAxis(ends, f"Predicted latency ({unit})"), ChartAxis(ends), height, words, tints
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = around(values)
    return max(low, 0.0), high


def _tip(network: CheckedNetwork) -> Tip:
    rows = (
        ("Predicted", units.milliseconds(network.predicted_ms), "predicted"),
        ("Interval", units.interval(network.low_ms, network.high_ms), "predicted"),
        ("Measured", units.milliseconds(network.measured_ms), "measured"),
        ("Again", units.milliseconds(network.again_ms), "measured"),
        ("Error", error(network.error), ""),
        *((BASELINE_NAMES[name], units.milliseconds(ms), "predicted") for name, ms in network.baselines_ms.items()),
        ("MACs", units.macs(network.macs), "derived"),
    )
    return Tip(network.key, rows)
