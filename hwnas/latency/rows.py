"""A table's rows as costs of operators: corrected for drift, the overhead taken off, gaps refused or estimated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, SpaceError, TableError
from hwnas.latency.posterior import Floats, Places, RowCosts
from hwnas.measure.drift import drift_corrected_ms, drift_factors, reference_ns
from hwnas.measure.table import LatencyTable, row_key
from hwnas.measure.table_lines import RowKey, input_text
from hwnas.measure.timing import Measurement
from hwnas.network import make_operator
from hwnas.ops import OPERATORS, Operator
from hwnas.tasks.ends import Shape, TensorSpec, elements_of, is_plain, specs_of

if TYPE_CHECKING:
    from hwnas.latency.imputation.missing_rows import MissingRows

Link = tuple[Operator, Shape]
Missing = Literal["error", "estimate"]
"""Treatment of an operator without a row: an error, or a time that is inferred from the rows there are."""


def _computes(link: Link) -> bool:
    """Return whether an operator gives something at its input; a row of one that does not teaches nothing."""
    from hwnas.ops.costs import operator_costs

    try:
        return all(elements_of((spec,)) > 0 for spec in specs_of(operator_costs(*link).output_shape))
    except SpaceError:
        return False


def similarity_key(kind: str, shape: Shape) -> tuple[str, Shape]:
    """Return a key that is equal for operators that are alike: of one kind at one resolution, they use the same kernels
    and caches."""
    return kind, shape[1:] if is_plain(shape) else tuple((spec.shape[1:], spec.dtype) for spec in shape)


def shape_of_row(parts: Sequence[Any]) -> Shape:
    """Return the input shape in a row's key; tensors are numbered, as rows do not name them."""
    if all(isinstance(part, int) for part in parts):
        return tuple(parts)
    numbered = enumerate(parts, 1)
    return tuple(TensorSpec(f"input_{n}", sizes, dtype, below) for n, (sizes, dtype, below) in numbered)


class Rows:
    """Costs by place: the table's rows in order, then estimated operators in the order in which they were requested.

    `alone_ms` are the rows' own times in the usual state of the machine, `overhead_ms` is what a call costs before any
    operator runs; `source` is the table's file.
    """

    def __init__(
        self, table: LatencyTable, missing: Missing, bench: str, operators: Mapping[str, str] = OPERATORS
    ) -> None:
        self.source, self._missing, self._bench, self._operators = table.path, missing, bench, operators
        self._keys, self._rows = list(table.rows), list(table.rows.values())
        self._usual_ns = reference_ns(self._rows)
        self.overhead_ms = self.low_ms([table.overhead])[0] if table.overhead is not None else 0.0
        self._factors = drift_factors(self._rows, self._usual_ns)
        self.alone_ms = [row.low_ms * factor for row, factor in zip(self._rows, self._factors, strict=True)]
        self._place = {key: index for index, key in enumerate(self._keys)}
        self._of_link: dict[Link, int] = {}
        self._ms = [max(ms - self.overhead_ms, 0.0) for ms in self.alone_ms]
        self._doubts = [0.0] * len(self._ms)
        self._groups: dict[tuple[str, Shape], int] = {}
        self._alike = [self._group(key) for key in self._keys]
        self._fitted: MissingRows | None = None

    def __len__(self) -> int:
        return len(self._ms)

    @property
    def measured_ms(self) -> dict[RowKey, float]:
        """Milliseconds that each operator adds by its own row alone."""
        return dict(zip(self._keys, self._ms, strict=False))  # estimated ones come after them

    def low_ms(self, measurements: Sequence[Measurement]) -> list[float]:
        """Return low times as they would be in the usual state of the machine, that of the rows."""
        return drift_corrected_ms(measurements, self._usual_ns)

    def places(self, links: Iterable[Link]) -> Places:
        """Return the index of each operator's cost.

        Raises:
            TableError: an operator has no row, and is not to be estimated, or cannot be.
        """
        links = list(links)
        if unseen := [link for link in dict.fromkeys(links) if link not in self._of_link]:
            keys = [row_key(*link) for link in unseen]
            self._fill({key: link for key, link in zip(keys, unseen, strict=True) if key not in self._place}, len(keys))
            self._of_link.update((link, self._place[key]) for link, key in zip(unseen, keys, strict=True))
        return np.array([self._of_link[link] for link in links], dtype=np.intp)

    def places_of(self, keys: Sequence[RowKey]) -> Places:
        """Return the same for operators that are known by their keys only, as those of a check."""
        gaps = {key: None for key in keys if key not in self._place}
        self._fill({key: self._link(key) for key in gaps} if self._missing == "estimate" else gaps, len(keys))
        return np.array([self._place[key] for key in keys], dtype=np.intp)

    def costs(self, places: Places, held: Floats) -> RowCosts:
        """Return the costs of these operators for the posterior.

        Args:
            places: of the operators.
            held: (checks, places) how often each check holds the operator at each place; at places after these, never.
        """
        at = places.tolist()
        counts = np.zeros((len(held), len(at)))
        counts[:, places < held.shape[1]] = held[:, places[places < held.shape[1]]]
        ms, doubts = np.array([self._ms[index] for index in at]), np.array([self._doubts[index] for index in at])
        return RowCosts(ms, doubts, np.array([self._alike[index] for index in at], dtype=np.intp), counts)

    def quantile_ms(self, places: Places, q: float) -> Floats:
        """Return the quantile over each row's own samples; of an estimated one, that of its error."""
        return np.array([self._quantile_ms(index, q) for index in places.tolist()])

    def without_row(self, places: Places) -> NDArray[np.bool_]:
        """Return which operators have no row, and are estimated."""
        lacking: NDArray[np.bool_] = places >= len(self._rows)
        return lacking

    def _quantile_ms(self, index: int, q: float) -> float:
        if index < len(self._rows):
            return max(self._rows[index].quantile_ms(q) * self._factors[index] - self.overhead_ms, 0.0)
        spread = NormalDist().inv_cdf(q) * self._doubts[index] ** 0.5
        return self._ms[index] * float(np.exp(spread))

    def _fill(self, gaps: Mapping[RowKey, Link | None], requested: int) -> None:
        if not gaps:
            return
        wanted = [link for link in gaps.values() if link is not None]
        if self._missing == "error" or len(wanted) < len(gaps):
            raise self._lacking(next(iter(gaps)), len(gaps), requested)
        alone_ms, relative_sd = self._regressor().predict(wanted)
        for key, ms, sd in zip(gaps, alone_ms.tolist(), relative_sd.tolist(), strict=True):
            cost = max(ms - self.overhead_ms, 0.1 * ms)
            self._place[key] = len(self._ms)
            self._ms.append(cost)
            self._doubts.append((sd * ms / cost) ** 2)
            self._alike.append(self._group(key))

    def _group(self, key: RowKey) -> int:
        return self._groups.setdefault(similarity_key(key[0], shape_of_row(key[2])), len(self._groups))

    def _regressor(self) -> MissingRows:
        from hwnas.latency.imputation.missing_rows import (
            MissingRows,  # it needs scikit-learn, which takes a second to import
        )

        if self._fitted is None:
            timed = zip(self._keys, self.alone_ms, strict=True)
            known = [(link, ms) for key, ms in timed if (link := self._link(key)) and _computes(link)]
            self._fitted = MissingRows.fit([link for link, _ in known], [ms for _, ms in known])
        return self._fitted

    def _link(self, key: RowKey) -> Link | None:
        """Return the operator of a row; None for one that only its own space can make."""
        kind, knobs, shape = key
        try:
            operator = make_operator(kind, json.loads(knobs), where=str(self.source), operators=self._operators)
            return operator, shape_of_row(shape)
        except (ConfigError, SpaceError):
            return None

    def _lacking(self, key: RowKey, missing: int, requested: int) -> TableError:
        kind, knobs, shape = key
        return TableError(
            f"{missing} of {requested} operators have no row, first {kind} {knobs} at {input_text(shape)}",
            where=str(self.source),
            allowed="A network's latency is known when each of its operators was measured",
            do=f"Run `{self._bench}`, which measures the missing rows only, or have them inferred: "
            "`--missing estimate`; in an experiment, `missing: estimate` of the set-up",
        )
