"""Linear resampling as PyTorch does it, in numpy; on the edge as well. Python 3.9 syntax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def resampling(have: int, want: int, *, smooth: bool) -> Array:
    """Return (want, have) weights of a linear resampling, as PyTorch's `interpolate` has them.

    Args:
        have: values before.
        want: values after.
        smooth: with antialiasing, which matters where there are fewer values after.
    """
    scale = have / want
    centers = scale * (np.arange(want) + 0.5)
    if not smooth:
        centers = np.clip(centers, 0.5, have - 0.5)
    distances = np.abs(np.arange(have)[None] + 0.5 - centers[:, None]) / (max(scale, 1.0) if smooth else 1.0)
    weights = np.maximum(1 - distances, 0)
    normalised: Array = weights / weights.sum(axis=1, keepdims=True)
    return normalised.astype(np.float32)
