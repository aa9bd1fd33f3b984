"""A metric: a quantity with the source of its values. The one place where its text is written and read."""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUANTILE = re.compile(r"(.*):p(\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class Metric:
    """A quantity as it is scored: `params`, `latency_ms@pi4`, `latency_ms@pi4:p90`, `top1@inherited`.

    Example:
        >>> str(Metric("latency_ms", "pi4", 0.9)), Metric.parse("top1@inherited").source
        ('latency_ms@pi4:p90', 'inherited')
    """

    quantity: str
    """Name of the quantity."""
    source: str = ""
    """The set-up, or the source of accuracy; empty where the network alone decides."""
    quantile: float | None = None
    """Quantile of the predicted value, 0 to 1; None for the value itself."""

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Return the metric that a text names; any text is one."""
        quantity, _, source = text.partition("@")
        part = _QUANTILE.fullmatch(source)
        return cls(quantity, source) if part is None else cls(quantity, part[1], float(part[2]) / 100)

    def __str__(self) -> str:
        at = f"@{self.source}" if self.source else ""
        return f"{self.quantity}{at}" + ("" if self.quantile is None else f":p{100 * self.quantile:g}")
