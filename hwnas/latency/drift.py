"""Drift: the machine of one sitting against that of another, seen by a reference operator. Board side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from hwnas.latency.measure import Measurement

REFERENCE = "reference_ns"
"""The condition that holds the reference operator's low time in the sitting in which something was timed."""


def reference_ns(measurements: Iterable[Measurement]) -> float | None:
    """The usual time of the reference operator: the median over measurements; None where none has it."""
    known = [float(found.conditions[REFERENCE]) for found in measurements if found.conditions.get(REFERENCE)]
    return statistics.median(known) if known else None


def drift_factors(measurements: Sequence[Measurement], usual_ns: float | None = None) -> list[float]:
    """By what each measurement's times are multiplied to be those of the usual state of the machine.

    `usual_ns` is the reference operator's time in that state; if left out, its median over the measurements. The factor
    is 1 where the reference was not timed.
    """
    usual_ns = usual_ns if usual_ns is not None else reference_ns(measurements)
    if usual_ns is None:
        return [1.0] * len(measurements)
    return [usual_ns / float(found.conditions.get(REFERENCE) or usual_ns) for found in measurements]
