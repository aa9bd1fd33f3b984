"""From a table's evidence to the latency of any network, with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

import numpy as np

from hwnas.errors import TableError
from hwnas.latency.outliers import Whole, outliers, row_of
from hwnas.latency.posterior import Floats, Places, Posterior, fit
from hwnas.latency.rows import Link, Missing, Rows
from hwnas.measure.table import LatencyTable
from hwnas.measure.timing import THROTTLED
from hwnas.network import Network
from hwnas.ops import OPERATORS
from hwnas.runtimes.setup import Setup
from hwnas.words import brief, counted, listed

FEWEST_CHECKS = 3
"""With fewer whole networks there is nothing to tell noise from bias by."""
SHOWN_ROWS = 3
"""Number of outliers that an error spells out."""
INTERVAL = 0.05, 0.95
"""The quantiles between which nine of ten timings lie."""


@brief
@dataclass(frozen=True)
class LatencyEstimate:
    """A latency with an interval, and what it rests on."""

    ms: float
    low_ms: float
    high_ms: float
    origin: str
    estimated_rows: int = 0
    """Number of the network's operators that have no row: their times are inferred from those of others."""


@dataclass(frozen=True)
class OperatorTime:
    """Time that one operator adds to its network's latency."""

    ms: float
    low_ms: float
    high_ms: float
    """With `low_ms` the 90 % interval of what it adds: intervals of operators are correlated, and do not sum."""
    estimated: bool
    """True if the table has no row for it."""


class LatencyTerms(Protocol):
    """Contributions of some operators to a network's latency, for networks given as counts of these operators.

    The expected latency is linear in the counts: `constant_ms + counts @ ms`.
    """

    @property
    def constant_ms(self) -> float:
        """Cost of a network whatever its operators."""

    @property
    def ms(self) -> Floats:
        """(operators,) the cost that each operator adds."""

    def quantile_ms(self, counts: Floats, q: float) -> Floats:
        """Return (networks,) what the next timing stays below with probability `q`; counts are (networks,
        operators)."""

    def operator_quantile_ms(self, q: float) -> Floats:
        """Return (operators,) what each operator adds less than with probability `q`."""


@dataclass(frozen=True, eq=False)
class Summed:
    """Terms without checks: the plain sum, with the rows' own quantiles."""

    constant_ms: float
    ms: Floats
    rows: Rows
    places: Places

    def quantile_ms(self, counts: Floats, q: float) -> Floats:
        """Return the same quantile of every row, added up."""
        quantiles: Floats = self.constant_ms + counts @ self.operator_quantile_ms(q)
        return quantiles

    def operator_quantile_ms(self, q: float) -> Floats:
        """Return the quantile of each row."""
        return self.rows.quantile_ms(self.places, q)


@brief
@final
@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Latencies of networks on the set-up of one table.

    With at least three checks, `ms` is the posterior mean (see `Posterior`) and the interval holds the next timing with
    90 % probability. With fewer, operators are summed after the per-call overhead is taken off each, and the interval
    is the sum of the rows' own 5 % and 95 % quantiles: it tells the machine's noise, not the bias of summing.
    """

    setup: Setup
    posterior: Posterior | None
    origin: str
    _rows: Rows
    _counts: Floats
    """(checks, operators) how often each check holds the operator at each place."""
    unit: str = "ms"
    _effective_ms: dict[Link, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        table: LatencyTable,
        *,
        missing: Missing = "error",
        bench: str = "hwnas bench SPACE",
        operators: Mapping[str, str] = OPERATORS,
        unit: str = "ms",
    ) -> LatencyModel:
        """Infer from a table as it is now.

        Args:
            table: rows, checks and overhead.
            missing: whether an operator without a row is an error, or is estimated from the rows that there are.
            bench: the command that an error about a missing row recommends.
            operators: what rows of a user's own operators are understood by, see `hwnas.network.known_operators`.
            unit: what the numbers are, for errors.

        Raises:
            TableError: a check holds an operator that has no row, or the table holds times that cannot be.
        """
        rows = Rows(table, missing, bench, operators)
        refuse_outliers(table, rows, bench, unit)
        if len(table.checks) < FEWEST_CHECKS:
            origin = f"sum of rows, of {len(table.rows)}{throttled(table)}{emulated(table)}"
            return cls(table.setup, None, origin, rows, np.zeros((0, len(rows))), unit)
        posterior, counts = infer(table, rows)
        learned = f"{counted(len(table.checks), 'check')} and {counted(len(table.rows), 'row')}"
        origin = f"{learned}{throttled(table)}{emulated(table)}"
        model = cls(table.setup, posterior, origin, rows, counts, unit)
        constant_ms, effective_ms = posterior.linear(rows.costs(np.arange(counts.shape[1]), counts))
        model.refuse_senseless(constant_ms + counts @ effective_ms)
        return model

    def linear(self, links: Sequence[Link]) -> tuple[float, Floats]:
        """Return a constant and what each of these operators adds, both in ms: the expected latency of a network is the
        constant and the sum over its operators.

        Raises:
            TableError: an operator has no row; the message holds the command that adds it.
        """
        if unseen := [link for link in dict.fromkeys(links) if link not in self._effective_ms]:
            places = self._rows.places(unseen)
            costs = self._rows.costs(places, self._counts)
            effective = self.posterior.linear(costs)[1] if self.posterior else costs.ms
            self._effective_ms.update(zip(unseen, effective.tolist(), strict=True))
        constant_ms = self.posterior.constant_ms if self.posterior else self._rows.overhead_ms
        return constant_ms, np.array([self._effective_ms[link] for link in links])

    def terms(self, links: Sequence[Link]) -> LatencyTerms:
        """Return the same with all that an interval needs; `links` are distinct.

        Raises:
            TableError: as `linear`.
        """
        places = self._rows.places(links)
        if self.posterior is not None:
            return self.posterior.terms(self._rows.costs(places, self._counts))
        return Summed(*self.linear(links), self._rows, places)

    @property
    def rows(self) -> Rows:
        """The table's rows as costs."""
        return self._rows

    def estimated_rows(self, links: Sequence[Link]) -> int:
        """Return the number of these operators that have no row and are estimated."""
        return int(self._rows.without_row(self._rows.places(links)).sum())

    def predict(self, network: Network) -> LatencyEstimate:
        """Return the latency of a network.

        Raises:
            TableError: an operator has no row; the message holds the command that adds it.
        """
        occurrences = Counter(network.links)
        terms, counts = self.terms(list(occurrences)), np.array([list(occurrences.values())], dtype=float)
        low, high = (float(terms.quantile_ms(counts, q)[0]) for q in INTERVAL)
        ms = float(terms.constant_ms + counts[0] @ terms.ms)
        self.refuse_senseless(np.array([ms]))
        gaps = self.estimated_rows(list(network.links))
        return LatencyEstimate(ms, low, high, self._resting_on(gaps, len(network.operators)), gaps)

    def operator_times(self, network: Network) -> tuple[OperatorTime, ...]:
        """Return what each operator adds, in order, and last the call's overhead; they sum to what `predict` returns.

        Raises:
            TableError: as `predict`.
        """
        links = list(dict.fromkeys(network.links))
        terms, gaps = self.terms(links), self._rows.without_row(self._rows.places(links))
        low, high = (terms.operator_quantile_ms(q) for q in INTERVAL)
        known = zip(links, terms.ms.tolist(), low.tolist(), high.tolist(), gaps.tolist(), strict=True)
        times = {link: OperatorTime(ms, below, above, gap) for link, ms, below, above, gap in known}
        call = OperatorTime(terms.constant_ms, terms.constant_ms, terms.constant_ms, False)
        return (*(times[link] for link in network.links), call)

    def predict_ms(self, network: Network) -> float:
        """Return the expected latency alone, which a search minimises."""
        constant_ms, effective_ms = self.linear(list(network.links))
        ms = constant_ms + float(effective_ms.sum())
        self.refuse_senseless(np.array([ms]))
        return ms

    def refuse_senseless(self, ms: Floats) -> None:
        """Refuse predictions that are no times, which a table predicts whose rows and whole networks disagree.

        Raises:
            TableError: one is not above 0.
        """
        if len(ms) and not (least := float(ms.min())) > 0:
            raise TableError(
                f"a network is predicted to take {least:.4g} {self.unit}",
                where=str(self._rows.source),
                allowed="Rows and whole networks of a table agree on what operators cost",
                do=f"Run `hwnas bench lint {self._rows.source}`, and measure anew what it tells",
            )

    def upper_ms(self, network: Network, confidence: float) -> float:
        """Return the latency that the next timing stays below with a probability of `confidence`."""
        occurrences = Counter(network.links)
        counts = np.array([list(occurrences.values())], dtype=float)
        return float(self.terms(list(occurrences)).quantile_ms(counts, confidence)[0])

    def _resting_on(self, estimated: int, operators: int) -> str:
        return self.origin + (f"; {estimated} of {operators} operators estimated" if estimated else "")


def refuse_outliers(table: LatencyTable, rows: Rows, bench: str, unit: str = "ms") -> None:
    """Refuse to predict from times that the rest of their table contradicts, by the rules of `hwnas bench lint`.

    Raises:
        TableError: there are such times; they are listed.
    """
    places = {key: index for index, key in enumerate(table.rows)}
    known = [row_of(key, ms) for key, ms in zip(table.rows, rows.alone_ms, strict=True)]
    wholes = [
        Whole(f"the network of {len(keys)} operators", ms, tuple(map(places.get, keys)))
        for keys, ms in zip(table.checks, rows.low_ms(list(table.checks.values())), strict=True)
    ]
    overhead_ms = rows.overhead_ms if table.overhead is not None else None
    if off := outliers(known, wholes, overhead_ms, unit):
        raise TableError(
            f"{counted(len(off), 'time')} cannot be: {listed([one.what for one in off], SHOWN_ROWS)}",
            where=str(table.path),
            allowed="Nothing is predicted from a row or a whole network that the rest of its table contradicts",
            do=f"Run `hwnas bench lint {table.path}`, which tells the lines; delete them, and measure anew: `{bench}`",
        )


def throttled(table: LatencyTable) -> str:
    """Return how many rows and checks were taken while throttled, as the end of a sentence; empty if none."""
    taken = [*table.rows.values(), *table.checks.values()]
    count = sum(bool(measurement.conditions.get(THROTTLED)) for measurement in taken)
    return f"; {count} of them taken while the machine was throttled" if count else ""


def emulated(table: LatencyTable) -> str:
    """Return, as the end of a sentence, that no processor took these times; empty where one did."""
    return f"; the table was {table.origin}" if table.origin.kind == "emulated" else ""


def infer(table: LatencyTable, rows: Rows) -> tuple[Posterior, Floats]:
    """Return the posterior after a table's checks, and (checks, operators) how often each holds the operator at each
    place.

    Raises:
        TableError: a check holds an operator that has no row.
    """
    check_places = [rows.places_of(keys) for keys in table.checks]
    counts = np.zeros((len(check_places), len(rows)))
    for row, places in zip(counts, check_places, strict=True):
        np.add.at(row, places, 1.0)
    costs = rows.costs(np.arange(len(rows)), counts)
    return fit(rows.overhead_ms, costs, np.array(rows.low_ms(list(table.checks.values())))), counts
