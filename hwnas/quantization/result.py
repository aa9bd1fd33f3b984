"""Result of quantizing a file: a verdict with its interval, operators, accuracy, and what was written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hwnas.latency.tables.comparison import Verdict


@dataclass(frozen=True)
class TimedFile:
    """One file of the sitting: `fp32`, or an int8 scheme."""

    name: str
    calibrator: str | None
    bytes: int
    low_ms: float
    median_ms: float
    ratio: float
    """Its time over that of fp32, with the ends of a 95 % interval."""
    low: float
    high: float
    accuracy: dict[str, Any] = field(default_factory=dict)
    """Empty of fp32."""
    calibrators: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quantization:
    """Int8 against fp32 for one model file on this machine.

    Args:
        file: as named by the user.
        setup: the set-up that the times are valid for.
        files: `fp32` first, then the int8 files.
        best: name of the int8 file that the verdict is on.
        operators: costliest operators of fp32 and of the best; empty where the runtime has no profile.
        notices: facts that limit the result.
        written: path of the int8 file; None if none was written.
        reason: why it was written, or not.
    """

    file: str
    setup: dict[str, Any]
    files: tuple[TimedFile, ...]
    best: str
    operators: dict[str, Any]
    notices: tuple[str, ...]
    written: str | None = None
    reason: str = ""

    @property
    def chosen(self) -> TimedFile:
        """The int8 file that the verdict is on."""
        return next(one for one in self.files if one.name == self.best)

    @property
    def verdict(self) -> Verdict:
        """`faster` or `slower` where the whole interval says so."""
        return "faster" if self.chosen.high < 1 else "slower" if self.chosen.low > 1 else "no difference"

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "verdict": self.verdict,
            "ratio": self.chosen.ratio,
            "low": self.chosen.low,
            "high": self.chosen.high,
            **asdict(self),
        }
