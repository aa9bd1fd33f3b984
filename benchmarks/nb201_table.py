"""A published benchmark as a table: every architecture with its accuracy and its cost, and how a search is judged.

The metric: minimize cost and error. Cost is scaled from its minimum to its 99.9th percentile, error from the best
accuracy to the 10th percentile of accuracies; the reference point is (1, 1). A front's hypervolume is told as a share
of the true front's. Architectures without a number (an empty or NaN entry, no row) are left out of the metric; to
evaluate one fails, and counts for nothing.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """(rows,) NaN where there is none; so is the cost."""
    cost: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Training-free scores by name, (rows,) each, if they were handed in; NaN where there is none."""

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

    def architecture(self, row: int) -> Architecture:
        picks = zip(self.slots, (self.words[code] for code in self.codes[row]), strict=True)
        return self.space.sample(lambda choice, picked=dict(picks): picked[choice.name])

    def evaluate(self, architecture: Architecture) -> Evaluation:
        row = self.row(architecture)
        if not self.measured[row]:
            return Evaluation(architecture, {}, failed="the files hold no number for it")
        scores = {"top1@table": float(self.accuracy[row]), "cost@table": float(self.cost[row])}
        return Evaluation(architecture, scores)

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """(rows,) whether accuracy and cost are known."""
        known: NDArray[np.bool_] = np.isfinite(self.accuracy) & np.isfinite(self.cost)
        return known

    @cached_property
    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of the metric: cost and accuracy at 0, at 1."""
        cost, accuracy = self.cost[self.measured], self.accuracy[self.measured]
        low, high = float(cost.min()), float(np.percentile(cost, 99.9))
        return (low, high), (float(accuracy.max()), float(np.percentile(accuracy, 10)))

    @cached_property
    def scaled(self) -> NDArray[np.float64]:
        """(rows, 2) cost and error, scaled for the metric; NaN where they are not known."""
        (low, high), (best, worst) = self.ends
        return np.stack([(self.cost - low) / (high - low), (best - self.accuracy) / (best - worst)], axis=1)

    @cached_property
    def true_hypervolume(self) -> float:
        return float(moocore.hypervolume(self.scaled[self.measured], ref=[1, 1]))

    @cached_property
    def true_front(self) -> int:
        """How many architectures stand on the true front."""
        return int(moocore.is_nondominated(self.scaled[self.measured]).sum())

    def share(self, rows: Sequence[int]) -> float:
        """The hypervolume of what was evaluated, as a share of the whole table's."""
        return float(moocore.hypervolume(self.scaled[list(rows)], ref=[1, 1])) / self.true_hypervolume


def read_table(accuracy: Path, column: str, latency: Path | None, device: str, scores: Path | None = None) -> Table:
    """A table from an NPZ file with `ops` and `op_names`, and a column of costs: of it, or of a CSV file by string.

    Raises:
        ConfigError: a column is not there, most architectures have no number, or all have the same one.
    """
    with np.load(accuracy, allow_pickle=False) as file:
        if lacking := {"arch", "ops", "op_names"} - set(file.files):
            raise ConfigError(
                f"the file lacks the arrays {', '.join(sorted(lacking))}",
                where=str(accuracy),
                allowed="`arch` (strings), `ops` (rows, places; whole numbers), `op_names` (what they stand for)",
                do="Name a file with these arrays and columns of numbers",
            )
        top1 = _column(file, column, accuracy)
        words, codes = tuple(str(word) for word in file["op_names"]), file["ops"].astype(np.intp)
        names = [str(name) for name in file["arch"]]
        cost = _column(file, device, accuracy) if latency is None else _costs(latency, device, names)
    told = {} if scores is None else _scores(scores, names)
    table = Table(accuracy.stem, tuple(names), words, codes, top1, cost, told)
    _check(table, {"accuracies": (str(accuracy), top1), "costs": (f"{latency or accuracy}: {device}", cost)})
    return table


def _check(table: Table, given: Mapping[str, tuple[str, NDArray[np.float64]]]) -> None:
    for what, (where, values) in given.items():
        known = values[np.isfinite(values)]
        if 2 * len(known) < len(values):
            first = table.names[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise ConfigError(
                f"{len(values) - len(known):,} of {len(values):,} architectures have no number, the first is `{first}`",
                where=where,
                allowed=f"Most architectures of the accuracy file have {what}, under the same strings",
                do="Name files of the same benchmark",
            )
    for (what, (where, _)), (zero, one) in zip(given.items(), table.ends[::-1], strict=True):
        if zero != one:
            continue
        raise ConfigError(
            f"next to all {what} are equal, so that there is no front to find",
            where=where,
            allowed="Costs differ between their minimum and 99.9th percentile, accuracies between maximum and 10th",
            do="Name another column",
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
        columns = list(rows[0]) if rows else []
        key = next((name for name in ("arch_str", "arch") if name in columns), None)
        if device not in columns or key is None:
            raise _missing(device if key else "arch_str", path, columns)
        found = {row[key]: _number(row[device], f"{path}: {device} of {row[key]}") for row in rows}
    return np.array([found.get(name, math.nan) for name in names])


def _number(text: str | None, where: str) -> float:
    """An entry of a CSV file; NaN if it is empty."""
    try:
        return float(text) if text and text.strip() else math.nan
    except ValueError as error:
        raise ConfigError(
            f"`{text}` is no number",
            where=where,
            allowed="A number; an empty entry or `nan` where nothing was measured",
            do="Correct the file, or name another column",
        ) from error


def _scores(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """All columns of numbers of an NPZ file with `arch`, by string; NaN for a string that it lacks."""
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files if file[name].dtype.kind == "f" and file[name].ndim == 1}
        place = {str(name): row for row, name in enumerate(file["arch"])}
    rows = [place.get(name, -1) for name in names]
    return {name: np.append(column, math.nan)[rows] for name, column in columns.items()}


def _missing(column: str, path: Path, columns: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"there is no column `{column}` of numbers",
        where=str(path),
        allowed=did_you_mean(column, columns),
        do="Name one of these with --column (accuracy) or --device (cost)",
    )
