"""Drift: a machine is faster in one minute than in another, which a reference operator sees. Board side, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hwnas.latency.measure import LOW, REFERENCE, Measurement

STEADY = 0.5
"""Which quantile over rounds is taken once each sample is divided by the reference's time in its round."""


def reference_ns(measurements: Iterable[Measurement]) -> float | None:
    """The reference operator's time on a quiet machine, a low quantile over all rounds; None where it was not timed."""
    rounds = {tuple(found.conditions[REFERENCE]) for found in measurements if found.conditions.get(REFERENCE)}
    return float(np.quantile([ns for taken in rounds for ns in taken], LOW)) if rounds else None


def drift_factors(measurements: Sequence[Measurement], usual_ns: float | None = None) -> list[float]:
    """By what each measurement's low time is multiplied to be that of the machine's usual state.

    Each sample is divided by the reference's time in the same round, which takes the machine's slow and fast spells out
    of it; the median over rounds is what the operator takes in units of the reference. `usual_ns` is the reference's
    time in the usual state; if left out, that of `measurements`. Without a reference the factor is 1.
    """
    usual_ns = usual_ns if usual_ns is not None else reference_ns(measurements)
    return [1.0 if usual_ns is None else _factor(found, usual_ns) for found in measurements]


def _factor(found: Measurement, usual_ns: float) -> float:
    reference = found.conditions.get(REFERENCE)
    if not reference or len(reference) != len(found.rounds_ns):
        return 1.0
    relative = np.asarray(found.rounds_ns) / np.asarray(reference)
    return float(np.quantile(relative, STEADY)) * usual_ns / (found.low_ms * 1e6)
