"""Drift: a machine is faster in one minute than in another, which a reference operator sees. Board side, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.measure import REFERENCE, Measurement

Floats = NDArray[np.float64]

STEADY = 0.5
"""Which quantile over rounds is taken once the reference's part is taken out of each sample."""
SENSITIVITY, SENSITIVITY_SD = 0.8, 0.3
"""Before its samples are seen: by what power of the reference's time a file's time changes, and how surely. What
computes on wide vectors slows down otherwise than what waits for memory."""
LEAST_NOISE = 1e-3
STEPS = 10


def reference_ns(measurements: Iterable[Measurement]) -> float | None:
    """The reference operator's usual time, the median over all rounds; None where it was not timed."""
    rounds = {tuple(found.conditions[REFERENCE]) for found in measurements if found.conditions.get(REFERENCE)}
    return float(np.median([ns for taken in rounds for ns in taken])) if rounds else None


def drift_factors(measurements: Sequence[Measurement], usual_ns: float | None = None) -> list[float]:
    """By what each measurement's low time is multiplied to be that of the machine's usual state.

    Each sample is divided by a power of the reference's time in the same round, which takes the machine's slow and fast
    spells out of it; the median over rounds, times that power of `usual_ns`, is the time in the usual state. The power
    is the measurement's own: how its samples followed the reference from round to round, as far as they tell (a
    regression on logarithms with a Gaussian prior). `usual_ns` is the reference's time in the usual state; if left out,
    that of `measurements`. Without a reference the factor is 1.
    """
    usual_ns = usual_ns if usual_ns is not None else reference_ns(measurements)
    return [1.0 if usual_ns is None else _factor(found, usual_ns) for found in measurements]


def _factor(found: Measurement, usual_ns: float) -> float:
    reference = found.conditions.get(REFERENCE)
    if not reference or len(reference) != len(found.rounds_ns):
        return 1.0
    beside, samples = np.log(np.asarray(reference) / usual_ns), np.log(found.rounds_ns)
    steady = float(np.quantile(samples - sensitivity(samples, beside) * beside, STEADY))
    return float(np.exp(steady)) / (found.low_ms * 1e6)


def sensitivity(samples: Floats, beside: Floats) -> float:
    """How far the logarithms of samples follow those of the reference: the posterior mean of the slope of a line.

    Samples that lie far off the line count less (Cauchy's weights).
    """
    slope, prior, weights = SENSITIVITY, SENSITIVITY_SD**-2, np.ones(len(samples))
    for _ in range(STEPS):
        off = samples - slope * beside
        off -= np.median(off)
        noise = max(1.4826 * float(np.median(np.abs(off))), LEAST_NOISE)
        weights = 1 / ((1 + (off / (2 * noise)) ** 2) * noise**2)
        x, y = (values - weights @ values / weights.sum() for values in (beside, samples))
        slope = (prior * SENSITIVITY + float(weights @ (x * y))) / (prior + float(weights @ (x * x)))
    return slope
