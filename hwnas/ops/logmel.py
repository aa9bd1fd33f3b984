"""Log-mel spectrogram of sound, as a link of a network: what ships then takes samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hwnas.errors import SpaceError
from hwnas.ops.mel import filters
from hwnas.ops.operator import Operator, check_whole

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class LogMel(Operator):
    """(in_channels, samples) -> (in_channels, frames, mels), or (in_channels * mels, frames) if that is its width.

    Frames of `window_ms` every `hop_ms`, under a periodic Hann window; the power spectrum, in `mels` triangular bands
    between `low_hz` and `high_hz`, equally wide on the mel scale of HTK; its natural logarithm. No part is learned.
    """

    rate: int
    mels: int = 40
    window_ms: float = 30.0
    hop_ms: float = 20.0
    low_hz: float = 20.0
    high_hz: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, rate=1, mels=1)
        if self.out_channels not in (self.in_channels, self.in_channels * self.mels):
            raise SpaceError(
                f"the width is {self.out_channels}",
                where="logmel",
                allowed=f"It is {self.in_channels} for an output of (channels, frames, mels), and "
                f"{self.in_channels * self.mels} for one of (channels * mels, frames)",
                do="Set `width` to one of them",
            )
        fault = filter_fault(self.rate, self.mels, self.window_ms, self.hop_ms, self.low_hz, self.top_hz)
        if fault:
            raise SpaceError(fault, where="logmel", allowed=FILTERS, do="Correct it")

    @property
    def top_hz(self) -> float:
        """Upper edge of the highest band: `high_hz`, or half the sampling rate if that is 0."""
        return self.high_hz or self.rate / 2

    def module(self) -> nn.Module:
        from hwnas.ops.spectrogram import Spectrogram

        return Spectrogram(
            self.in_channels,
            self.rate,
            self.mels,
            window_ms=self.window_ms,
            hop_ms=self.hop_ms,
            band=(self.low_hz, self.top_hz),
            flat=self.out_channels != self.in_channels,
        )


FILTERS = (
    "0 <= low_hz < high_hz <= rate / 2, a window has 2 samples or more, and each band holds a line of the spectrum"
)


def filter_fault(rate: int, mels: int, window_ms: float, hop_ms: float, low_hz: float, high_hz: float) -> str | None:
    """Return what is wrong with the settings of a spectrogram, None if nothing is."""
    numbers = {"window_ms": window_ms, "hop_ms": hop_ms, "low_hz": low_hz, "high_hz": high_hz}
    for name, value in numbers.items():
        if not _is_finite(value) or value < 0:
            return f"`{name}` is {value!r}"
    if not low_hz < high_hz <= rate / 2:
        return f"the band is {low_hz:g} to {high_hz:g} Hz at {rate} Hz"
    if (window := round(rate * window_ms / 1000)) < 2 or round(rate * hop_ms / 1000) < 1:
        return f"the window has {window} samples, a hop {round(rate * hop_ms / 1000)}"
    if (empty := int((filters(rate, window, mels, (low_hz, high_hz)).sum(0) == 0).sum())) > 0:
        return f"{empty} of {mels} bands hold no line of the spectrum, whose lines are {rate / window:.4g} Hz apart"
    return None


def _is_finite(value: object) -> bool:
    """Return True for a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
