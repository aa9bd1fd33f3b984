"""Log-mel spectrogram of sound, as a link of a network: what ships then takes samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv1d

from hwnas.errors import SpaceError
from hwnas.ops.operator import Operator, check_whole

FLOOR = 1e-6
"""Power that is added before the logarithm."""


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


class Spectrogram(nn.Module):
    """Framing, Hann window and Fourier transform as one convolution; bands; logarithm. Shape: (N, C, samples)."""

    def __init__(
        self,
        channels: int,
        rate: int,
        mels: int,
        *,
        window_ms: float,
        hop_ms: float,
        band: tuple[float, float],
        flat: bool = False,
    ) -> None:
        super().__init__()
        window = round(rate * window_ms / 1000)
        self.channels, self.flat, self.hop = channels, flat, round(rate * hop_ms / 1000)
        bands = filters(rate, window, mels, band)
        used = np.flatnonzero(bands.sum(1))
        hann = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(window) / window)
        angles = 2 * math.pi * (used[:, None] * np.arange(window) % window) / window
        waves = np.concatenate([np.cos(angles), np.sin(angles)]) * hann
        self.lines = len(used)
        tables = {"waves": np.tile(waves[:, None], (channels, 1, 1)), "bands": bands[used]}
        for name, values in tables.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.waves, Tensor)
        assert isinstance(self.bands, Tensor)
        parts = conv1d(x, self.waves, stride=self.hop, groups=self.channels)
        power = torch.unflatten(parts.square(), 1, (self.channels, 2, self.lines)).sum(2)
        spectrum = torch.log(torch.matmul(power.transpose(2, 3), self.bands) + FLOOR)
        return spectrum.transpose(2, 3).flatten(1, 2) if self.flat else spectrum


def filters(rate: int, window: int, mels: int, band: tuple[float, float]) -> NDArray[np.float64]:
    """Return (lines, mels): triangles whose corners are equally far apart on the mel scale of HTK."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in band)
    corners = 700 * (10 ** (np.linspace(low, high, mels + 2) / 2595) - 1)
    lines = np.arange(window // 2 + 1)[:, None] * (rate / window)
    rising = (lines - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - lines) / (corners[2:] - corners[1:-1])
    return np.minimum(rising, falling).clip(min=0)
