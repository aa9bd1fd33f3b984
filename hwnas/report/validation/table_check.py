"""Results of `hwnas check`: facts for the terminal, the page and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.latency.agreement import PredictionQuality
from hwnas.report import units
from hwnas.words import brief

if TYPE_CHECKING:
    from rich.table import Table

BASELINE_NAMES = {"sum": "sum of rows", "macs": "line on MACs", "ridge": "ridge on counts"}
"""Baselines as they are shown."""
FEW = 20
"""With fewer networks, the verdict says that they are few."""


@brief
@dataclass(frozen=True)
class CheckedNetwork:
    """One network that the table had not seen; times in ms, of one call, corrected for drift unless said otherwise."""

    key: str
    space: str
    operators: int
    macs: int
    predicted_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float
    again_ms: float
    """The same file, timed in the second sitting."""
    uncorrected_ms: float
    """Time by the clock in the first sitting, not corrected."""
    baselines_ms: Mapping[str, float]
    """Prediction of each baseline."""

    @property
    def error(self) -> float:
        """Error of the prediction, above (+) or below (-) the measured latency, as a fraction of it."""
        return self.predicted_ms / self.measured_ms - 1

    @property
    def noise(self) -> float:
        """Difference of the second timing from the first, as a fraction of it."""
        return self.again_ms / self.measured_ms - 1


@brief
@dataclass(frozen=True)
class Checked:
    """Trust in a table: its errors on networks that it holds no timing of. Errors and shares are fractions."""

    table: Path
    setup: Mapping[str, Any]
    spaces: tuple[str, ...]
    seed: int
    origin: str
    """Origin of the data that the model rests on."""
    model: PredictionQuality
    uncorrected: PredictionQuality
    """The model against the times by the clock, without the correction for drift."""
    noise: PredictionQuality
    """The second sitting against the first: no model can be expected to be nearer."""
    baselines: Mapping[str, PredictionQuality | None]
    absent: Mapping[str, str]
    """Why a baseline is None."""
    drift: float | None
    """Slowdown (+) of the machine in the first sitting, compared with when the table was measured, by the reference
    operator, as a fraction; None where it was not timed."""
    drift_again: float | None
    networks: tuple[CheckedNetwork, ...]

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form: the model's figures on top, `baselines`, `noise` and `networks_detail` below."""
        return {
            "table": str(self.table),
            "setup": dict(self.setup),
            "spaces": list(self.spaces),
            "seed": self.seed,
            "origin": self.origin,
            **self.model.as_dict(),
            "mape_uncorrected": self.uncorrected.mape,
            "drift": self.drift,
            "drift_again": self.drift_again,
            "noise_mape": self.noise.mape,
            "noise": self.noise.as_dict(),
            "baselines": {name: agreement and agreement.as_dict() for name, agreement in self.baselines.items()},
            "baselines_absent": dict(self.absent),
            "networks_detail": [asdict(network) for network in self.networks],
        }


def verdict(checked: Checked) -> list[str]:
    """Explain the figures in plain sentences."""
    model, noise = checked.model, checked.noise
    lines = [
        f"Nine networks in ten are predicted to ±{error(model.nine_in_ten)}, the worst of {model.networks} to "
        f"±{error(model.worst)}; on average the error is {error(model.mape)}."
    ]
    if model.mape <= 1.5 * noise.mape:
        nearer = "most of the error is the machine's noise"
    else:
        nearer = "most of the error is the model's"
    lines.append(f"The same networks timed twice differ by {error(noise.mape)}: {nearer}.")
    if model.coverage_90 is not None:
        lines.append(_interval_words(model.coverage_90, model.networks))
    if checked.drift is not None and abs(checked.drift) >= 0.005:
        pace = "slower" if checked.drift > 0 else "faster"
        lines.append(
            f"The machine was {error(abs(checked.drift))} {pace} than when the table was measured; this is corrected "
            f"(without: error {error(checked.uncorrected.mape)})."
        )
    if checked.absent:
        lines.append("The table holds too few checks to correct its sum of rows; `hwnas bench` with checks adds some.")
    if model.networks < FEW:
        lines.append(f"{model.networks} networks are few: with {FEW} or more, shares and ranks mean more.")
    return lines


def _interval_words(coverage: float, networks: int) -> str:
    statement = f"The 90 % intervals hold {round(coverage * networks)} of {networks} measurements"
    by_chance = 1.96 * (0.9 * 0.1 / networks) ** 0.5
    if coverage < 0.9 - by_chance:
        return f"{statement}: they are too narrow."
    return f"{statement}: they are wider than they need be." if coverage > 0.9 + by_chance else f"{statement}."


def error(fraction: float) -> str:
    """`3.2 %` of the fraction 0.032, `0.41 %` below one percent."""
    percent = 100 * fraction
    return f"{percent:.{1 if abs(percent) >= 1 else 2}f} %".replace("-", "\N{MINUS SIGN}")


METRICS: Mapping[str, Callable[[PredictionQuality], str]] = {
    "MAPE": lambda found: error(found.mape),
    "9 in 10": lambda found: error(found.nine_in_ten),
    "worst": lambda found: error(found.worst),
    "±5 %": lambda found: f"{100 * found.within_5:.0f} %",
    "±10 %": lambda found: f"{100 * found.within_10:.0f} %",
    "Spearman": lambda found: _rank(found.spearman),
    "Kendall": lambda found: _rank(found.kendall),
    "in 90 %": lambda found: units.GAP if found.coverage_90 is None else f"{100 * found.coverage_90:.0f} %",
}
"""Columns of the comparison, each with how it is shown."""


def _rank(value: float | None) -> str:
    return units.GAP if value is None else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def compared(checked: Checked) -> dict[str, PredictionQuality]:
    """Model, baselines and noise floor by the name they are shown with; baselines that are absent are left out."""
    rivals = {BASELINE_NAMES[name]: agreement for name, agreement in checked.baselines.items() if agreement is not None}
    return {"model": checked.model, **rivals, "timed twice": checked.noise}


def check_table(checked: Checked) -> Table:
    """Model beside baselines beside noise floor, for a terminal of 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("predicted by", no_wrap=True)
    for name in METRICS:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name, agreement in compared(checked).items():
        style = {"model": "bold", "timed twice": "dim"}.get(name)
        table.add_row(Text(name), *(Text(show(agreement)) for show in METRICS.values()), style=style)
    return table
