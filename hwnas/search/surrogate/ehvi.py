"""Expected gain in hypervolume, exact where the costs are known and one objective is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import moocore
import numpy as np
from numpy.typing import NDArray

from hwnas.pareto import just_beyond
from hwnas.predictors.warp import Warp

Floats: TypeAlias = NDArray[np.float64]

INTEGRATION_STEPS = 64
"""Steps of the integral over what the predicted objective may turn out to be."""
LATTICE, GENERATOR = 512, 149
"""Points, and the generator of the rank-1 lattice, over which two and more known costs are integrated."""


@final
@dataclass(frozen=True, eq=False)
class BoxDecomposition:
    """The box below the reference, in the known costs, cut where the best target that was told changes.

    A network that costs no more than a cell's upper corner and has a target below its level adds the difference there.
    """

    lower: Floats
    """(cells, costs)."""
    upper: Floats
    """(cells, costs)."""
    levels: Floats
    """(cells,) the lowest target that was told at these costs, at most the reference's."""

    @classmethod
    def of(cls, costs: Floats, targets: Floats, low: Floats, reference: Floats, limit: float) -> BoxDecomposition:
        """Cut by the evaluations, `costs` (rows, k) and `targets` (rows,), the least costs and the reference point."""
        inside = (costs < reference).all(axis=1) & (targets < limit)
        costs, targets = costs[inside], targets[inside]
        if costs.shape[1] == 0:
            none = np.empty((1, 0))
            return cls(none, none, np.array([targets.min(initial=limit)]))
        if costs.shape[1] > 1:
            return cls._sampled(costs, targets, low, reference, limit)
        order = np.lexsort((targets, costs[:, 0]))
        best = np.minimum.accumulate(targets[order]) if len(order) else targets
        steps = np.flatnonzero(np.diff(best, prepend=limit) < 0)
        edges = np.concatenate([[-np.inf], costs[order[steps], 0], reference])
        return cls(edges[:-1, None], edges[1:, None], np.concatenate([[limit], best[steps]]))

    @classmethod
    def _sampled(cls, costs: Floats, targets: Floats, low: Floats, reference: Floats, limit: float) -> BoxDecomposition:
        """Return a lattice of points for two and more costs: a network gets the share of each it costs no more than."""
        powers = GENERATOR ** np.arange(costs.shape[1]) % LATTICE
        points = low + (reference - low) * ((np.arange(LATTICE)[:, None] * powers + 0.5) / LATTICE % 1)
        below = (costs[None] <= points[:, None]).all(axis=2)
        levels: Floats = np.where(below, targets, limit).min(axis=1, initial=limit)
        return cls(points, points, levels)

    def widths(self, costs: Floats) -> Floats:
        """Return (rows, cells) how much of each cell is dearer than each candidate."""
        if costs.shape[1] != 1:
            below: NDArray[np.bool_] = np.all(costs[:, None] <= self.upper[None], axis=2)
            return below / len(self.levels)
        widths: Floats = np.maximum(self.upper[:, 0] - np.maximum(self.lower[:, 0], costs), 0.0)
        return widths


def beyond_front(points: Floats) -> tuple[Floats, float]:
    """Return the costs and the target just worse than the front of points, (rows, costs and target)."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.full(points.shape[1] - 1, np.inf), np.inf
    worst = just_beyond(points[moocore.is_nondominated(points)])
    return worst[:-1], float(worst[-1])


def improvements(mean: Floats, deviation: Floats, warp: Warp, levels: Floats) -> Floats:
    """Return (rows, levels) by how much a target is expected to fall below each level.

    A target is a cost: minus what the warp takes. Its distribution is Gaussian before the warp, `mean` and `deviation`.
    """
    top = float(np.max(mean + 4 * deviation))
    lowest = min(-float(warp.back(np.array([top]))[0]), float(levels.min()))
    known, inverse = np.unique(levels, return_inverse=True)
    latent = np.linspace(float(warp.forward(np.array([-known[-1]]))[0]), max(top, 0.0), INTEGRATION_STEPS)
    edges = np.unique(np.concatenate([known, np.clip(-warp.back(latent), lowest, known[-1]), [lowest]]))
    if len(edges) == 1:
        return np.zeros((len(mean), len(levels)))
    middles = warp.forward(-(edges[1:] + edges[:-1]) / 2)
    areas = normal((mean[:, None] - middles) / deviation[:, None]) * np.diff(edges)
    summed = np.concatenate([np.zeros((len(mean), 1)), np.cumsum(areas, axis=1)], axis=1)
    expected: Floats = summed[:, np.searchsorted(edges, known)][:, inverse]
    return expected


def expected_improvements(mean: Floats, deviation: float, levels: Floats) -> Floats:
    """Return (rows, levels) as `improvements`, where a target itself is Gaussian, with one deviation for all."""
    z = (levels - mean[:, None]) / deviation
    expected: Floats = deviation * (z * normal(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    return expected


def probability_below(mean: Floats, deviation: Floats, warp: Warp, level: float) -> Floats:
    """Return (rows,) the probability that a target is not above a level."""
    return normal((mean - float(warp.forward(np.array([-level]))[0])) / deviation)


def normal(z: Floats) -> Floats:
    """Return the share of a standard normal distribution below each value."""
    from scipy.special import ndtr

    share: Floats = ndtr(z)
    return share
