"""Elements of a chart: an axis each way, tints, rules, lines, marks and callouts. Colours are names of the style
sheet's variables, so that one palette serves light, dark and print; `chart_svg` draws it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Symbol = Literal["dot", "cross", "diamond", "fallen"]
Dash = Literal["solid", "dash", "dot"]


@dataclass(frozen=True)
class Tip:
    """Description of a point: a head, rows of (label, value, origin or empty), and lines of description."""

    head: str
    rows: tuple[tuple[str, str, str], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChartAxis:
    """One direction: its ends, its title, and what follows each number."""

    ends: tuple[float, float]
    title: str = ""
    suffix: str = ""
    whole: bool = False
    """Only whole numbers stand on it, as on an axis of epochs."""
    names: tuple[str, ...] = ()
    """Names in place of numbers, that of place 0 first."""
    logarithmic: bool = False
    """The ends are logarithms to base 10; labels are the numbers themselves."""

    def share(self, value: float) -> float:
        """Return the position of a value between the low end and the high one, in percent."""
        low, high = self.ends
        return 100 * (value - low) / ((high - low) or 1.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Values with their labels: round numbers, at most seven, or the names."""
        if self.names:
            return list(enumerate(self.names))
        low, high = self.ends
        if self.logarithmic:
            return _logarithmic_ticks(low, high, self.suffix)
        step = _round_step((high - low) / 6, whole=self.whole)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if round(step * 10**decimals, 6) % 1:  # a step of 2.5
            decimals += 1
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        values = [multiple * step for multiple in range(first, last + 1)]
        return [(value, f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") + self.suffix) for value in values]


def _logarithmic_ticks(low: float, high: float, suffix: str) -> list[tuple[float, str]]:
    """Powers of ten, halves and fifths between them where there are few, round numbers where there is none."""
    if high - low < 1:
        linear = ChartAxis((10**low, 10**high), suffix=suffix)
        return [(math.log10(value), label) for value, label in linear.ticks if value > 0]
    times = (1, 2, 5) if high - low < 2.5 else (1,)
    numbers = [digit * 10.0**power for power in range(math.floor(low), math.floor(high) + 1) for digit in times]
    inside = [number for number in numbers if low <= math.log10(number) <= high]
    return [(math.log10(number), f"{number:,.10f}".rstrip("0").rstrip(".") + suffix) for number in inside]


def _round_step(least: float, *, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(least or 1.0))
    step = next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= least * (1 - 1e-9))
    return max(1.0, float(math.ceil(step))) if whole else step


def around(values: Sequence[float], gap: float = 0.06) -> tuple[float, float]:
    """Ends that leave a share of the span free on either side.

    >>> around([0.0, 10.0], 0.1)
    (-1.0, 11.0)
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    free = gap * (high - low) or 0.1 * abs(high) or 1.0
    return low - free, high + free


@dataclass(frozen=True)
class Marks:
    """Points that look alike, each with its tip."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    tips: Sequence[Tip] = ()
    radius: float | Sequence[float] = 4.0
    symbol: Symbol | Sequence[Symbol] = "dot"
    opacity: float = 1.0
    across: Sequence[tuple[float, float]] = ()
    """From where to where each one's interval reaches along x."""
    along: Sequence[tuple[float, float]] = ()
    """The same along y."""


@dataclass(frozen=True)
class Line:
    """A line through points; in steps, it goes across before it goes up."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    tips: Sequence[Tip] = ()
    width: float = 2.0
    dash: Dash = "solid"
    steps: bool = False
    opacity: float = 1.0

    @property
    def corners(self) -> Iterator[tuple[float, float]]:
        """The points that are drawn, those of the steps between them too."""
        before: float | None = None
        for x, y in zip(self.x, self.y, strict=True):
            if self.steps and before is not None:
                yield x, before
            yield x, y
            before = y


@dataclass(frozen=True)
class Tint:
    """A shaded area, by its corners."""

    corners: Sequence[tuple[float, float]]
    color: str
    opacity: float = 0.08


@dataclass(frozen=True)
class ReferenceLine:
    """A line across the whole chart at one value of an axis."""

    axis: Literal["x", "y"]
    at: float
    color: str
    dash: Dash = "dash"


@dataclass(frozen=True)
class Callout:
    """A few words beside a point, offset to the right and down in pixels, with a line to it."""

    x: float
    y: float
    text: str
    right: float
    down: float
    color: str


@dataclass(frozen=True)
class Figure:
    """One chart, and what it shows in words."""

    layers: tuple[Marks | Line, ...]
    x: ChartAxis
    y: ChartAxis
    height: int
    """In pixels, with the axes; the width is that of the page."""
    label: str
    tints: tuple[Tint, ...] = ()
    rules: tuple[ReferenceLine, ...] = ()
    callouts: tuple[Callout, ...] = ()
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> Marks | Line:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def shows_rules(self) -> bool:
        """Return whether a rule lies within the axes."""
        return any(0 <= (self.x if rule.axis == "x" else self.y).share(rule.at) <= 100 for rule in self.rules)

    @property
    def tooltips(self) -> Iterator[tuple[float, float, Tip]]:
        """Each point that has a tip, in percent from the left and from the top. Those drawn last come last."""
        for layer in self.layers:
            for x, y, tip in zip(layer.x, layer.y, layer.tips, strict=False):
                yield self.x.share(x), 100 - self.y.share(y), tip


def cut(text: str, most: int = 60) -> str:
    """The text, ended by dots where it is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
