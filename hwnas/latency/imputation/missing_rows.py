"""Rows that a table lacks, inferred from those it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hwnas.errors import TableError
from hwnas.latency.imputation.log_regressor import Described, Floats, LogRegressor
from hwnas.ops import Operator, Shape
from hwnas.tasks.ends import elements_of, specs_of
from hwnas.words import counted

FEWEST_ROWS = 10
TILES = ((128, 128), (128, 32), (32, 32))
"""Rows and columns of a matrix product that a kernel computes at once, large, flat and small."""


@final
@dataclass(frozen=True, eq=False)
class MissingRows:
    """Latencies of operators without a row, from the operators that have one: see `LogRegressor`.

    An operator is described by the logarithms of its input shape and numeric knobs, by its kind and worded knobs, by
    its MACs, parameters, input and output sizes, and by how its output falls into the tiles of a matrix product.
    """

    kinds: Mapping[str, int]
    knobs: tuple[str, ...]
    """Names of the numeric knobs of all kinds."""
    words: tuple[tuple[str, str], ...]
    """Worded knobs and their values."""
    regressor: LogRegressor

    @classmethod
    def fit(cls, links: Sequence[tuple[Operator, Shape]], ms: Sequence[float] | Floats) -> MissingRows:
        """Learn from operators at input shapes and their times. A pair of calls with equal rows agrees in any order.

        Raises:
            TableError: fewer than `FEWEST_ROWS` rows, or a time that is not positive.
        """
        times = np.asarray(ms, dtype=float)
        if len(times) < FEWEST_ROWS or not (np.isfinite(times) & (times > 0)).all():
            raise TableError(
                f"{counted(len(times), 'row')}, the least time {times.min(initial=np.inf)} ms",
                where="the rows to estimate missing ones from",
                allowed=f"At least {FEWEST_ROWS} rows with positive times",
                do="Measure more rows, or lint the table",
            )
        kinds = {kind: index for index, kind in enumerate(sorted({operator.kind for operator, _ in links}))}
        seen = [knob for operator, _ in links for knob in operator.knobs.items()]
        knobs = tuple(sorted({name for name, value in seen if isinstance(value, int | float)}))
        words = tuple(sorted({(name, str(value)) for name, value in seen if not isinstance(value, int | float)}))
        return cls(kinds, knobs, words, LogRegressor.fit(_described(links, kinds, knobs, words), times))

    def predict(self, links: Sequence[tuple[Operator, Shape]]) -> tuple[Floats, Floats]:
        """Return (links,) times in ms and their relative standard deviations.

        Raises:
            TableError: a kind, or the value of a worded knob, of which there is no row to learn from.
        """
        for operator, _ in links:
            new = {name: value for name, value in _worded(operator) if (name, value) not in self.words}
            if operator.kind not in self.kinds or new:
                raise TableError(
                    f"no row of kind `{operator.kind}`" + (f" with {new}" if operator.kind in self.kinds else ""),
                    where=operator.describe(),
                    allowed=f"A missing row is estimated from rows of its own kind: {', '.join(self.kinds)}",
                    do="Measure some operators of that kind with `hwnas bench`",
                )
        if not links:
            return np.zeros(0), np.zeros(0)
        return self.regressor.predict(_described(links, self.kinds, self.knobs, self.words))


def tiles(pixels: Floats, columns: Floats, depth: Floats, processors: int = 1) -> tuple[Floats, Floats]:
    """Divide a convolution into tiles, seen as a matrix product of (pixels, depth) and (depth, columns).

    Returns (rows, tiles) multiply-adds with the last tile and the last wave of tiles filled up, and (rows, hints) how
    many waves, how much of them is padding, and remainders of the sizes. Kernels round to tiles, and tiles to waves
    over `processors`: latency has steps there (nn-Meter, Zhang et al. 2021).
    """
    work, hints = [], []
    for tall, wide in TILES:
        count = np.ceil(pixels / tall) * np.ceil(columns / wide)
        waves = np.ceil(count / processors)
        padded = waves * processors * tall * wide
        work.append(padded * depth)
        hints += [np.log(count), np.log(waves), np.log(padded / (pixels * columns))]
    hints += [np.ceil(columns / 8) * 8 / columns, columns % 32, columns % 128, pixels % 32, np.log(depth)]
    return np.column_stack(work), np.column_stack(hints)


def _worded(operator: Operator) -> Iterable[tuple[str, str]]:
    return [(name, str(value)) for name, value in operator.knobs.items() if not isinstance(value, int | float)]


def _described(
    links: Sequence[tuple[Operator, Shape]],
    kinds: Mapping[str, int],
    knobs: Sequence[str],
    words: Sequence[tuple[str, str]],
) -> Described:
    from hwnas.ops.costs import operator_costs

    costs = [operator_costs(operator, shape) for operator, shape in links]
    own = np.array([kinds[operator.kind] for operator, _ in links], dtype=np.intp)
    values = np.array([[_number(operator.knobs.get(name)) for name in knobs] for operator, _ in links])
    values = np.sign(values) * np.log1p(np.abs(values))
    word_sets = [set(_worded(operator)) for operator, _ in links]
    worded = np.array([[word in mine for word in words] for mine in word_sets], dtype=float).reshape(len(links), -1)
    one_hot = np.eye(len(kinds))[own]
    inputs = np.array([elements_of(shape) for _, shape in links], dtype=float)
    sides = [specs_of(shape)[0].shape[1:] for _, shape in links]
    area = np.array([np.prod(side) for side in sides], dtype=float)
    longest = np.array([max(side, default=1) for side in sides], dtype=float)
    outputs = np.array([elements_of(cost.output_shape) for cost in costs], dtype=float)
    columns = np.array([specs_of(cost.output_shape)[0].shape[0] for cost in costs], dtype=float)
    macs, params = (np.array([getattr(cost, name) for cost in costs], dtype=float) for name in ("macs", "params"))
    live = np.array([cost.activation_bytes for cost in costs], dtype=float)
    filled, hints = tiles(outputs / columns, columns, np.maximum(macs / outputs, 1e-3))
    shapes = np.log(np.column_stack([inputs / area, area, longest**2 / area]))
    work = np.column_stack([np.ones(len(links)), macs, params, inputs, outputs, live, filled])
    intensity = np.log1p(macs) - np.log(params + inputs + outputs)
    return Described(np.hstack([shapes, values, worded, one_hot]), work, np.column_stack([hints, intensity]), own)


def _number(value: Any) -> float:
    """Return a knob as a number; of several inputs' channels their sum."""
    return float(sum(value) if isinstance(value, tuple) else value or 0)
