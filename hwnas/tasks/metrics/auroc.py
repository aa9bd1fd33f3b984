"""Areas under the receiver operating characteristic, with their sampling errors (DeLong et al. 1988)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.quantities import Quantity
from hwnas.tasks.metrics.estimate import Estimate, estimated

AUROC = Quantity("auroc", "AUROC", "max", "")


def auroc(scores: NDArray[Any], positive: NDArray[Any]) -> Estimate | None:
    """Return the chance that a positive sample has a higher score than a negative one; equal scores count half.

    Args:
        scores: (samples,) or (samples, classes).
        positive: bool, of the same shape.

    Returns:
        The mean over the classes that have both kinds of samples; None if no class has. NaN if a score is not finite.
    """
    scores, positive = (values.reshape(len(values), -1) for values in (scores, positive))
    both = positive.any(0) & ~positive.all(0)
    if not both.any():
        return None
    if not np.isfinite(scores).all():
        return Estimate(math.nan)
    areas = [_area(scores[:, index], positive[:, index]) for index in np.flatnonzero(both)]
    return estimated(
        float(np.mean([value for value, _ in areas])), np.mean([influence for _, influence in areas], axis=0)
    )


def _area(scores: NDArray[Any], positive: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Return the area of one class, and the influence of each sample on it."""
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    above = (np.searchsorted(low, scores[positive]) + np.searchsorted(low, scores[positive], "right")) / 2 / len(low)
    below = (np.searchsorted(high, scores[~positive]) + np.searchsorted(high, scores[~positive], "right")) / 2
    area = float(above.mean())
    influence = np.empty(len(scores))
    influence[positive] = (above - area) * len(scores) / len(high)
    influence[~positive] = (1 - below / len(high) - area) * len(scores) / len(low)
    return area, influence
