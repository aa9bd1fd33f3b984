"""The module of `logmel`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from hwnas.ops.mel import filters

FLOOR = 1e-6
"""Power that is added before the logarithm."""


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
