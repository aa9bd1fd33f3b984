"""Bands on the mel scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def filters(rate: int, window: int, mels: int, band: tuple[float, float]) -> NDArray[np.float64]:
    """Return (lines, mels): triangles whose corners are equally far apart on the mel scale of HTK."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in band)
    corners = 700 * (10 ** (np.linspace(low, high, mels + 2) / 2595) - 1)
    lines = np.arange(window // 2 + 1)[:, None] * (rate / window)
    rising = (lines - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - lines) / (corners[2:] - corners[1:-1])
    return np.minimum(rising, falling).clip(min=0)
