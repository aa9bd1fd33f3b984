"""Numbers as text, with units: the one place where hwnas formats them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import final

from hwnas.pareto import Limit
from hwnas.quantities import Metric, Quantity, shown_as
from hwnas.words import counted

GAP = "\N{EN DASH}"
"""Shown where there is no number."""


def _scaled(value: float, base: int, prefixes: str) -> str:
    size, prefix = float(value), ""
    for larger in prefixes:
        if abs(size) < base:
            break
        size, prefix = size / base, larger
    return f"{digits(size)} {prefix}"


def digits(value: float) -> str:
    """Three significant digits without exponent; whole numbers under 1,000 as they are.

    >>> digits(0.0412345), digits(0.05), digits(12.0), digits(4567.8)
    ('0.0412', '0.0500', '12', '4,568')
    """
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(decimals, 0)}f}" if decimals <= 8 else f"{value:.1e}"


def count(value: float | None) -> str:
    """`1.20 M`, `45.3 k`, `812`."""
    return GAP if value is None else _scaled(value, 1000, "kMGT").strip()


def macs(value: float | None) -> str:
    """`45.3 MMACs`."""
    return GAP if value is None else f"{_scaled(value, 1000, 'kMGT')}MACs"


def size(value_bytes: float | None) -> str:
    """`12.5 KiB`."""
    if value_bytes is None:
        return GAP
    text = _scaled(value_bytes, 1024, "KMGT")
    return f"{text}iB" if text[-1] in "KMGT" else f"{text}B"


def milliseconds(value: float | None) -> str:
    """`12.4 ms`, and `41.2 µs` below a tenth of a millisecond.

    >>> milliseconds(12.4), milliseconds(0.0412), milliseconds(0.0), milliseconds(None)
    ('12.4 ms', '41.2 µs', '0 ms', '–')
    """
    if value is None:
        return GAP
    unit, times = time_unit([value])
    return f"{_times(value, times)} {unit}"


def time_unit(values_ms: Iterable[float]) -> tuple[str, float]:
    """The unit that latencies side by side are shown in, and what their milliseconds are multiplied with.

    >>> time_unit([0.05, 0.4]), time_unit([0.05, 40.0]), time_unit([0.4])
    (('µs', 1000.0), ('ms', 1.0), ('ms', 1.0))
    """
    known = [abs(value) for value in values_ms]
    small = any(0 < value < 0.1 for value in known) and max(known) < 10
    return ("µs", 1000.0) if small else ("ms", 1.0)


def timed(value_ms: float | None, times: float) -> str:
    """Return a latency without its unit, which the column's header gives."""
    return GAP if value_ms is None else _times(value_ms, times)


def interval(low_ms: float, high_ms: float, unit: tuple[str, float] | None = None) -> str:
    """`39.1 to 43.3 µs`: both ends in one unit."""
    name, times = unit or time_unit([low_ms, high_ms])
    return f"{_times(low_ms, times)} to {_times(high_ms, times)} {name}"


def _times(value_ms: float, times: float) -> str:
    return digits(float(f"{value_ms * times:.12g}"))


def percent(fraction: float | None) -> str:
    """`97.42 %` of the fraction 0.9742."""
    return GAP if fraction is None else f"{100 * fraction:.2f} %"


def share(fraction: float | None, error: float | None) -> str:
    """`12.3 % ± 0.1 %` of a share and its standard error, which is 0 where the share is exact.

    >>> share(0.5, 0.001), share(0.5, 0.0), share(None, None)
    ('50.00 % ± 0.10 %', '50.00 %', 'not known')
    >>> share(0.0, 0.001), share(0.0, 0.0), share(1.0, 0.001), share(1.0, 0.0)
    ('none of those looked at', 'none', 'all of those looked at', 'all')
    """
    if fraction is None:
        return "not known"
    if fraction in (0, 1):
        return ("all" if fraction else "none") + (" of those looked at" if error else "")
    scale, unit = (1e6, " in a million") if fraction < 1e-4 else (1.0, "")
    parts = [fraction, error] if error else [fraction]
    return " ± ".join(digits(scale * part) if unit else percent(part) for part in parts) + unit


def seconds(value: float) -> str:
    """`41 s`, `3 min 20 s`, `1 h 05 min`."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def now() -> str:
    """Return the time, to the minute, as pages tell when they were written."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def architectures(value: int) -> str:
    """`13,824`, and `2.31 × 10¹⁹` from a billion on."""
    if value < 10**9:
        return f"{value:,}"
    power = math.floor(math.log10(value) + 1e-9)  # of 10^29 and the like, the logarithm may be a little low
    raised = str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{10 ** (math.log10(value) - power):.2f} \N{MULTIPLICATION SIGN} 10{raised}"


FORMATTERS: Mapping[str, Callable[[float | None], str]] = {
    "fraction": percent,
    "ms": milliseconds,
    "B": size,
    "KiB": lambda value: size(None if value is None else 1024 * value),
    "MACs": macs,
    "count": count,
}
"""Text of a value by its unit; values in another unit have three digits and the unit."""


@final
class Units:
    """Texts of metrics and their values. Metrics of a task, which has units of its own, are known by what it is made
    with; all others are quantities.

    >>> kelvin = Units([Quantity("mae", "Mean absolute error", "min", "K")])
    >>> kelvin.scored("mae@inherited", 0.5), kelvin.label("mae@inherited"), kelvin.scored("params", 1_200_000)
    ('0.500 K', 'Mean absolute error', '1.20 M')
    """

    def __init__(self, metrics: Iterable[Quantity] = ()) -> None:
        self._metrics = {metric.name: metric for metric in metrics}

    def quantity(self, metric: str) -> Quantity:
        """The quantity of a metric, such as `latency_ms` of `latency_ms@pi4`."""
        name = Metric.parse(metric).quantity
        return self._metrics.get(name) or shown_as(name)

    def is_fraction(self, metric: str) -> bool:
        """Return whether the metric is a share, shown in percent."""
        return self.quantity(metric).unit == "fraction"

    def label(self, metric: str) -> str:
        """`Latency` of `latency_ms@pi4`, `Top-1 accuracy` of `top1@inherited`."""
        return self.quantity(metric).label

    def in_sentence(self, metric: str) -> str:
        """The same within a sentence: `latency`, `top-1 accuracy`, and `MACs` as it is."""
        label = self.label(metric)
        return f"{label[:1].lower()}{label[1:]}" if label[1:2].islower() else label

    def with_source(self, metric: str) -> str:
        """`Top-1 accuracy, inherited` of `top1@inherited`, `Parameters` of `params`."""
        return ", ".join(part for part in (self.label(metric), Metric.parse(metric).source) if part)

    def scored(self, metric: str, value: float | None) -> str:
        """A value in the unit of its quantity."""
        unit = self.quantity(metric).unit
        if unit in FORMATTERS:
            return FORMATTERS[unit](value)
        return GAP if value is None else f"{digits(value)} {unit}".rstrip()

    def on_axis(self, metric: str) -> str:
        """Return the unit behind an axis' name, ` (K)`; empty where the numbers on it carry theirs."""
        unit = self.quantity(metric).unit
        return f" ({unit})" if unit and unit not in FORMATTERS else ""

    def difference(self, metric: str, value: float) -> str:
        """A difference of two values, or an error: `0.31 points` of a share, `0.120 K` of others."""
        return f"{100 * value:.2f} points" if self.is_fraction(metric) else self.scored(metric, value)

    def deviation(self, metric: str, value: float) -> str:
        """An error behind a value that has the unit: `±0.31`, in percent of a share."""
        return f"±{100 * value:.2f}" if self.is_fraction(metric) else f"±{digits(value)}"

    def between(self, metric: str, low: float | None, high: float | None) -> str:
        """`13.7 KiB to 175 KiB`, `59.4 to 261 µs`."""
        if low is None or high is None or self.quantity(metric).unit != "ms":
            return f"{self.scored(metric, low)} to {self.scored(metric, high)}"
        return interval(low, high)

    def limit(self, bound: Limit) -> str:
        """`Latency ≤ 0.25 ms`, `Latency (90 %) ≤ 0.25 ms`: without the zeros that measured values end in."""
        value, _, unit = self.scored(bound.metric, bound.bound).partition(" ")
        value = value.rstrip("0").rstrip(".") if "." in value and "e" not in value else value
        quantile = Metric.parse(bound.metric).quantile
        surely = "" if quantile is None else f" ({100 * quantile:g} %)"
        return f"{self.label(bound.metric)}{surely} {'≤' if bound.side == 'most' else '≥'} {value} {unit}".rstrip()


def setup_line(setup: Mapping[str, str | int | float]) -> str:
    """`Cortex-A72 · onnxruntime 1.32.0 · 4 threads · fp32 · batch 1`."""
    rest = dict(setup)
    device, precision = rest.pop("device", None), rest.pop("precision", None)
    runtime = " ".join(str(rest.pop(name)) for name in ("runtime", "runtime_version") if name in rest)
    threads = rest.pop("threads", None)
    thread_count = None if threads is None else counted(int(threads), "thread")
    others = (f"{name.replace('_', ' ')} {value}" for name, value in rest.items())
    return " · ".join(str(part) for part in (device, runtime, thread_count, precision, *others) if part)


def pace(per_second: float, left_s: float) -> str:
    """Return the rate of progress and the time left.

    >>> pace(0.05, 4000)
    '3 a minute, 67 min left'
    """
    rate = f"{per_second:.3g} a second" if per_second >= 1 else f"{60 * per_second:.3g} a minute"
    left = (
        f"{left_s:.0f} s" if left_s < 120 else f"{left_s / 60:.0f} min" if left_s < 7200 else f"{left_s / 3600:.1f} h"
    )
    return f"{rate}, {left} left"
