"""Statistics of samples, which are added before metrics are computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sums:
    """Statistics of some samples, from which metrics follow. Those of disjoint parts add up to those of the whole."""

    count: int
    totals: Mapping[str, Any] = field(default_factory=dict)
    """Numbers or arrays that are added."""
    samples: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Arrays with a row for each sample, in order; paired comparisons and ranks need them."""

    def __add__(self, other: Sums) -> Sums:
        return Sums.of([self, other])

    @classmethod
    def of(cls, parts: Sequence[Sums]) -> Sums:
        """Return the statistics of all parts, one or more, together."""
        first = parts[0]
        totals = {name: sum((part.totals[name] for part in parts[1:]), value) for name, value in first.totals.items()}
        samples = {name: np.concatenate([part.samples[name] for part in parts]) for name in first.samples}
        return cls(sum(part.count for part in parts), totals, samples)
