"""From a table's evidence to the latency of any network, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np

from hwnas.errors import TableError
from hwnas.latency.posterior import Z90, Floats, Places, Posterior, fit
from hwnas.latency.table import LatencyTable, RowKey, row_key
from hwnas.network import Network
from hwnas.ops import Operator, Shape
from hwnas.runtimes.setup import Setup

FEWEST_CHECKS = 3
"""With fewer whole networks there is nothing to tell noise from bias by."""


@dataclass(frozen=True)
class Estimate:
    """A latency with an interval, and what it rests on."""

    ms: float
    low_ms: float
    high_ms: float
    origin: str


@final
@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Latencies of networks on the set-up of one table.

    With at least three checks, `ms` is the posterior mean (see `Posterior`) and the interval holds the next timing with
    90 % probability. With fewer, operators are summed after the per-call overhead is taken off each, and the interval
    is the sum of the rows' own 5 % and 95 % quantiles: it tells the machine's noise, not the bias of summing.
    """

    setup: Setup
    overhead_ms: float
    costs_ms: Floats
    """(rows, 3) each row's 5 %, low and 95 % time, overhead taken off."""
    posterior: Posterior | None
    origin: str
    _place: Mapping[RowKey, int] = field(repr=False)
    _source: Path
    _bench: str
    _seen: dict[tuple[Operator, Shape], int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, table: LatencyTable, *, bench: str = "hwnas bench SPACE") -> LatencyModel:
        """Infer from a table as it is now. `bench` is the command that an error about a missing row recommends.

        Raises:
            TableError: a check holds an operator that has no row.
        """
        overhead_ms = table.overhead.low_ms if table.overhead is not None else 0.0
        times = [(row.quantile_ms(0.05), row.low_ms, row.quantile_ms(0.95)) for row in table.rows.values()]
        costs_ms = np.maximum(np.array(times).reshape(-1, 3) - overhead_ms, 0.0)
        place = {key: index for index, key in enumerate(table.rows)}
        posterior = None
        if len(table.checks) >= FEWEST_CHECKS:
            checks = [_places(place, keys, table.path, bench) for keys in table.checks]
            timed_ms = np.array([check.low_ms for check in table.checks.values()])
            posterior = fit(overhead_ms, costs_ms[:, 1], checks, timed_ms)
        origin = f"{len(table.checks)} checks and {len(place)} rows" if posterior else f"sum of rows, of {len(place)}"
        return cls(table.setup, overhead_ms, costs_ms, posterior, origin, place, table.path, bench)

    def predict(self, network: Network) -> Estimate:
        """The latency of a network.

        Raises:
            TableError: an operator has no row; the message holds the command that adds it.
        """
        links = list(network.links)
        if unseen := [link for link in links if link not in self._seen]:
            found = _places(self._place, [row_key(*link) for link in unseen], self._source, self._bench)
            self._seen.update(zip(unseen, found.tolist(), strict=True))
        places = np.array([self._seen[link] for link in links], dtype=np.intp)
        if self.posterior is None:
            low, ms, high = (float(ms) for ms in self.overhead_ms + self.costs_ms[places].sum(axis=0))
            return Estimate(ms, low, high, self.origin)
        ms, deviation = self.posterior.predict(places)
        return Estimate(ms, max(0.0, ms - Z90 * deviation), ms + Z90 * deviation, self.origin)

    def predict_ms(self, network: Network) -> float:
        """The expected latency alone: what a search minimises."""
        return self.predict(network).ms


def _places(place: Mapping[RowKey, int], keys: Sequence[RowKey], table: Path, bench: str) -> Places:
    if missing := [key for key in keys if key not in place]:
        kind, knobs, shape = missing[0]
        raise TableError(
            f"{len(missing)} of {len(keys)} operators have no row, first {kind} {knobs} at {'x'.join(map(str, shape))}",
            where=str(table), allowed="The latency of a network is known when each of its operators was measured",
            do=f"Run `{bench}`, which measures the missing rows only",
        )  # fmt: skip
    return np.array([place[key] for key in keys], dtype=np.intp)
