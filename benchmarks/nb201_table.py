"""A published benchmark as a table: every architecture with its accuracy and its cost, and how a search is judged.

The metric: minimise cost and error. Cost is scaled from its minimum to its 99.9th percentile, error from the best
accuracy to the 10th percentile of accuracies; the reference point is (1, 1). A front's hypervolume is told as a share
of the true front's.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, did_you_mean
from hwnas.pareto import Objective, Tier
from hwnas.search.evaluate import Evaluation
from hwnas.space import Architecture, FunctionSpace


@dataclass(frozen=True, eq=False)
class Table:
    """All architectures of a benchmark; a row is one of them, as the file numbers it."""

    name: str
    names: tuple[str, ...]
    """Each architecture as the file writes it."""
    words: tuple[str, ...]
    """What a place of an architecture can hold."""
    codes: NDArray[np.intp]
    """(rows, places) indices into `words`."""
    accuracy: NDArray[np.float64]
    cost: NDArray[np.float64]
    scores: NDArray[np.float64] | None = None
    """(rows, scores) training-free scores, if they were handed in."""

    @cached_property
    def space(self) -> FunctionSpace:
        """The strings of the table; those of equal networks are architectures of their own, as each was measured."""
        slots = self.slots
        return FunctionSpace(self.name, lambda choose: [choose(slot, self.words) for slot in slots])

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(f"place_{index}" for index in range(self.codes.shape[1]))

    @cached_property
    def tier(self) -> Tier:
        return Tier("benchmark", (Objective("top1@table", "max"), Objective("cost@table", "min")))

    @cached_property
    def row_of(self) -> dict[bytes, int]:
        """Row by the bytes of its codes."""
        return {codes.tobytes(): row for row, codes in enumerate(self.codes)}

    def row(self, architecture: Architecture) -> int:
        picks = dict(architecture.picks)
        return self.row_of[np.array([self.words.index(str(picks[slot])) for slot in self.slots]).tobytes()]

    def evaluate(self, architecture: Architecture) -> Evaluation:
        row = self.row(architecture)
        scores = {"top1@table": float(self.accuracy[row]), "cost@table": float(self.cost[row])}
        return Evaluation(architecture, scores)

    @cached_property
    def scaled(self) -> NDArray[np.float64]:
        """(rows, 2) cost and error, scaled for the metric."""
        low, high = self.cost.min(), np.percentile(self.cost, 99.9)
        best, worst = self.accuracy.max(), np.percentile(self.accuracy, 10)
        return np.stack([(self.cost - low) / (high - low), (best - self.accuracy) / (best - worst)], axis=1)

    @cached_property
    def true_hypervolume(self) -> float:
        return float(moocore.hypervolume(self.scaled, ref=[1, 1]))

    def share(self, rows: Sequence[int]) -> float:
        """The hypervolume of what was evaluated, as a share of the whole table's."""
        return float(moocore.hypervolume(self.scaled[list(rows)], ref=[1, 1])) / self.true_hypervolume


def read_table(accuracy: Path, column: str, latency: Path | None, device: str, scores: Path | None = None) -> Table:
    """A table from an NPZ file with `ops` and `op_names`, and a column of costs: of it, or of a CSV file by string.

    Raises:
        ConfigError: a column is not there, or an architecture has no cost.
    """
    with np.load(accuracy, allow_pickle=False) as file:
        top1 = _column(file, column, accuracy)
        words, codes = tuple(str(word) for word in file["op_names"]), file["ops"].astype(np.intp)
        names = [str(name) for name in file["arch"]]
        cost = _column(file, device, accuracy) if latency is None else _costs(latency, device, names)
    return Table(
        accuracy.stem, tuple(names), words, codes, top1, cost, None if scores is None else _scores(scores, names)
    )


def _column(file: Any, column: str, path: Path) -> NDArray[np.float64]:
    """A column of an NPZ file, the mean over its seeds if it holds several."""
    if column not in file.files or file[column].dtype.kind not in "fiu":
        raise _missing(column, path, [name for name in file.files if file[name].dtype.kind in "fiu"])
    values = file[column].astype(float)
    return values if values.ndim == 1 else values.mean(axis=1)


def _costs(path: Path, device: str, names: Sequence[str]) -> NDArray[np.float64]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            found = dict(zip(map(str, file["arch"]), _column(file, device, path).tolist(), strict=True))
    else:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        if not rows or device not in rows[0]:
            raise _missing(device, path, list(rows[0]) if rows else [])
        key = next(name for name in ("arch_str", "arch") if name in rows[0])
        found = {row[key]: float(row[device]) for row in rows}
    if lacking := [name for name in names if name not in found]:
        raise ConfigError(
            f"{len(lacking):,} of {len(names):,} architectures have no cost, the first is `{lacking[0]}`",
            where=str(path),
            allowed="Every architecture of the accuracy file has a row",
            do="Name files of the same benchmark",
        )
    return np.array([found[name] for name in names])


def _scores(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """All columns of numbers of an NPZ file with `arch`, by string; NaN for a string that it lacks."""
    with np.load(path, allow_pickle=False) as file:
        columns = [file[name] for name in file.files if file[name].dtype.kind == "f" and file[name].ndim == 1]
        found = dict(zip(map(str, file["arch"]), np.stack(columns, axis=1), strict=True))
    unknown = np.full(len(columns), np.nan)
    return np.array([found.get(name, unknown) for name in names], dtype=float)


def _missing(column: str, path: Path, columns: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"there is no column `{column}` of numbers",
        where=str(path),
        allowed=did_you_mean(column, columns),
        do="Name one of these with --column (accuracy) or --device (cost)",
    )
