"""Drift: a machine is faster in one minute than in another, which a reference operator sees. Board side, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hwnas.measure.timing import REFERENCE_CONDITION, Measurement

Floats = NDArray[np.float64]

STEADY = 0.5
"""Quantile over rounds that is taken once the reference's part is taken out of each sample."""
SENSITIVITY, SENSITIVITY_SD = 0.8, 0.3
"""Power of the reference's time with which a file's time changes, before its samples are seen, and its standard
deviation. Code on wide vectors slows down otherwise than code that waits for memory."""
ALIKE_ROUNDS = 5.0
"""Number of rounds that tell as much as one: those of a process share the places in memory."""
LEAST_NOISE, TINY = 1e-3, 1e-9
EXPONENT_STEPS = 10


def reference_ns(measurements: Iterable[Measurement]) -> float | None:
    """Return the reference operator's usual time, a median over measurements of medians over rounds; None without
    any."""
    known = [
        float(np.median(measurement.conditions[REFERENCE_CONDITION]))
        for measurement in measurements
        if measurement.conditions.get(REFERENCE_CONDITION)
    ]
    return float(np.median(known)) if known else None


def drift_factors(measurements: Sequence[Measurement], usual_ns: float | None = None) -> list[float]:
    """Return the factors that bring each measurement's low time to the machine's usual state.

    Each sample is divided by a power of the reference's time in the same round, which takes the machine's slow and fast
    spells out of it; the median over rounds, times that power of `usual_ns`, is the time in the usual state. The power
    is how samples followed the reference from round to round: see `drift_exponents`. `usual_ns` is the reference's time
    in the usual state; if left out, that of `measurements`. Without a reference the factor is 1.
    """
    usual_ns = usual_ns if usual_ns is not None else reference_ns(measurements)
    factors = [1.0] * len(measurements)
    if usual_ns is None:
        return factors
    comparable = [index for index, measurement in enumerate(measurements) if _rounds_are_told(measurement)]
    beside = [
        np.log(np.asarray(measurements[index].conditions[REFERENCE_CONDITION]) / usual_ns) for index in comparable
    ]
    samples = [np.log(measurements[index].rounds_ns) for index in comparable]
    powers = drift_exponents(samples, beside)
    for number, index in enumerate(comparable):
        steady = np.quantile(samples[number] - powers[number] * beside[number], STEADY)
        steady_ns = float(np.exp(steady))
        factors[index] = steady_ns / (measurements[index].low_ms * 1e6)
    return factors


def drift_corrected_ms(measurements: Sequence[Measurement], usual_ns: float | None = None) -> list[float]:
    """Return each measurement's time in ms in the machine's usual state: its low time, multiplied by its drift
    factor."""
    factors = drift_factors(measurements, usual_ns)
    return [measurement.low_ms * factor for measurement, factor in zip(measurements, factors)]


def _rounds_are_told(measurement: Measurement) -> bool:
    reference = measurement.conditions.get(REFERENCE_CONDITION)
    return isinstance(reference, Sequence) and len(reference) == len(measurement.rounds_ns)


def drift_exponents(samples: Sequence[Floats], beside: Sequence[Floats]) -> Floats:
    """Return for each file how far the logarithms of its samples follow those of the reference: the slope of a line.

    One file's rounds tell its slope roughly. So it is drawn to the mean of all of them, the more the less the slopes
    differ beyond their errors (empirical Bayes; the spread as DerSimonian and Laird, Meta-analysis in Clinical Trials,
    1986), and the mean to what is usual.
    """
    if not samples:
        return np.zeros(0)
    slopes, variances = np.array(list(map(_slope, samples, beside))).T
    weights = 1 / variances
    mean = float(weights @ slopes / weights.sum())
    excess = float(weights @ (slopes - mean) ** 2) - (len(slopes) - 1)
    spread = max(0.0, excess / max(float(weights.sum() - weights @ weights / weights.sum()), TINY))
    weights = 1 / (variances + spread)
    prior = SENSITIVITY_SD**-2
    mean = float((weights @ slopes + prior * SENSITIVITY) / (weights.sum() + prior))
    drawn: Floats = (slopes * spread + mean * variances) / (spread + variances)
    return drawn


def _slope(samples: Floats, beside: Floats) -> tuple[float, float]:
    """Return the slope and its variance; samples that lie far off the line count less (Cauchy's weights)."""
    slope, square = SENSITIVITY, 0.0
    for _ in range(EXPONENT_STEPS):
        off = samples - slope * beside
        off -= np.median(off)
        noise = max(1.4826 * float(np.median(np.abs(off))), LEAST_NOISE)
        weights = 1 / ((1 + (off / (2 * noise)) ** 2) * noise**2)
        x, y = (values - weights @ values / weights.sum() for values in (beside, samples))
        square = max(float(weights @ (x * x)), TINY)
        slope = float(weights @ (x * y)) / square
    return slope, ALIKE_ROUNDS / square
