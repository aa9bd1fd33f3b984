"""A column of a file as a score of architectures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import NoScore
from hwnas.space import Architecture
from hwnas.tabular.columns import Columns, open_columns
from hwnas.tabular.rows import Names
from hwnas.words import counted

Join = Literal["mean", "first"]
"""Rule for rows whose architectures are one network for hwnas, such as cells that differ in dead edges."""
Scale = Literal["fraction", "percent", "as_is", "ms", "us", "s"]
DIVISORS: Mapping[Scale, float] = {"fraction": 1.0, "percent": 100.0, "as_is": 1.0, "ms": 1.0, "us": 1e3, "s": 1e-3}
"""Units of a column per unit of a metric: a metric's accuracies are 0 to 1, its latencies are milliseconds; other
qualities stand in their own unit, as they are."""


@dataclass(frozen=True)
class Wanted:
    """Column to read from a file, and how to read it."""

    path: Path
    column: str
    key: str | None
    scale: Scale
    rows: Join = "mean"


@final
@dataclass(frozen=True)
class TableMetric:
    """Score of architectures from a file. One that the file lacks has no score: it is never guessed."""

    wanted: Wanted
    values: Mapping[str, float]
    """Scores by architecture key."""
    rows: int
    """Number of rows of the file; more than values where several rows are one network."""
    producer: str
    """The file's content, the column and how it is read."""

    def __call__(self, architecture: Architecture) -> float:
        if architecture.key not in self.values:
            raise NoScore(
                f"the file has no row for architecture {architecture.key}",
                where=str(self.wanted.path),
                allowed=f"It has rows of {counted(len(self.values), 'network')} of the space",
                do="Leave the network out, or add its row",
            )
        return self.values[architecture.key]

    @property
    def description(self) -> str:
        """Text on how the rows became numbers of networks."""
        text = f"{self.wanted.path.name}: `{self.wanted.column}` of {counted(self.rows, 'row')}"
        if len(self.values) == self.rows:
            return text
        how = {"mean": "the mean of", "first": "the first of"}[self.wanted.rows]
        return f"{text}, {counted(len(self.values), 'network')}: {how} rows that are one network"


def read_metric(wanted: Wanted, names: Names) -> TableMetric:
    """Return the numbers of a column, by architecture.

    Raises:
        DataError: the file, the column, a row or the scale is at fault.
        MissingExtra: the file's format needs a package that is not installed.
    """
    columns = open_columns(wanted.path)
    numbers, keys = columns.numbers(wanted.column), names.keys(columns, wanted.key)
    if len(numbers) != len(keys):
        raise columns.error(
            f"`{wanted.column}` has {counted(len(numbers), 'row')}, there are {len(keys):,} names", "A row each"
        )
    _check_scale(columns, wanted, numbers)
    grouped: dict[str, list[float]] = {}
    for key, number in zip(keys, numbers.tolist(), strict=True):
        grouped.setdefault(key, []).append(number / DIVISORS[wanted.scale])
    joined = {
        key: math.fsum(values) / len(values) if wanted.rows == "mean" else values[0] for key, values in grouped.items()
    }
    producer = f"table {columns.digest} column={wanted.column} key={wanted.key} scale={wanted.scale} rows={wanted.rows}"
    return TableMetric(wanted, joined, len(keys), producer)


def _check_scale(columns: Columns, wanted: Wanted, numbers: NDArray[np.float64]) -> None:
    least, most = float(numbers.min()), float(numbers.max())
    problem = f"`{wanted.column}` reaches from {least:g} to {most:g}"
    if wanted.scale in ("fraction", "percent"):
        bound = 1.0 if wanted.scale == "fraction" else 100.0
        if least < 0 or most > bound:
            do = "Say `scale: percent`" if 1 < most <= 100 and least >= 0 else "Name a column of accuracies"
            raise columns.error(problem, f"An accuracy in the scale `{wanted.scale}` is 0 to {bound:g}", do)
        if wanted.scale == "percent" and most <= 1:
            raise columns.error(problem, "No accuracy is above one percent", "Say `scale: fraction`")
    elif wanted.scale != "as_is" and least < 0:
        raise columns.error(problem, "A latency is not below 0", "Remove rows without a timing, or name another column")
