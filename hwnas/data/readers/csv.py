"""Tables in CSV files: a sample is a row, or a window of rows of a recording."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.conversion import classes_of, is_number, labels_of, not_finite, number_targets
from hwnas.data.facts import Raw, Step
from hwnas.data.source import Pool, Source, Stored, find
from hwnas.data.windows import Recording, Windows, check_lengths, cut, sampling_rate, windows_of
from hwnas.errors import ConfigError, DataError, did_you_mean, reason
from hwnas.io.regular import read_regular
from hwnas.tasks import DEFAULT_TASK, Task

SEPARATORS = ",;\t"
_ALLOWED = "A table has a line of column names, then rows of as many cells, separated by `,`, `;` or tabs"
_DO = "Name a CSV file, or a folder of such files with the same columns"


def read(
    base: Path,
    *,
    path: str,
    target: str | Sequence[str],
    features: Sequence[str] | None = None,
    group: str | None = None,
    window: int | Mapping[str, Any] | None = None,
    task: Task = DEFAULT_TASK,
) -> Source:
    """Read the columns `features`, by default all that nothing else names, and the column or columns `target`.

    Without a `window` inputs are rows, (features,); with one they are (features, length). Samples of one value of the
    column `group` are in one split; windows that may overlap are, by default, grouped by recording.

    Raises:
        ConfigError: an unknown column, or a window that is none.
        DataError: a file is damaged, cells are missing or no numbers, recordings are too short or of unlike rates.
    """
    how = windows_of(window)
    table = _table(find(Path(path), base, what="file or folder", do=_DO))
    targets, chosen = map(_names, (target, features))
    group = None if group is None else str(group)
    special = [name for name in (group, how and how.time, how and how.recording) if name]
    if features is None:
        chosen = [name for name in table.columns if name not in (*targets, *special)]
    for name in (*targets, *special, *chosen):
        if name not in table.columns:
            raise ConfigError(
                f"there is no column `{name}`", where="data", allowed=did_you_mean(name, table.columns), do="Correct it"
            )
    if not chosen or not targets:
        raise ConfigError(
            "there is no column for the inputs" if targets else "`target` names no column",
            where="data",
            allowed=f"Columns: {', '.join(table.columns)}",
            do="Name `target`, and `features` if not all others are features",
        )
    values = np.stack([table.numbers(name, "feature") for name in chosen], 1).astype(np.float32)
    wanted, names = _targets(table, targets, task)
    groups = None if group is None else table.texts(group)
    if how is None:
        pool = Pool(Stored(torch.from_numpy(values)), wanted, table.where, groups)
        return Source(names, {"train": pool}, Raw(order="rows by file and line", channels=tuple(chosen)))
    return _windowed(table, how, (values, wanted, groups), Raw(channels=tuple(chosen)), names)


@final
@dataclass(frozen=True, eq=False)
class _Table:
    columns: Mapping[str, list[str]]
    lines: list[str]
    """File and line of each row."""
    files: list[int]
    """Number of the file of each row."""
    where: str

    def texts(self, name: str) -> NDArray[Any]:
        """Return the cells of a column without the blanks around them."""
        return np.array([cell.strip() for cell in self.columns[name]])

    def numbers(self, name: str, role: str) -> NDArray[np.float64]:
        cells = self.columns[name]
        if empty := [at for at, cell in enumerate(cells) if not cell.strip()]:
            raise DataError(
                f"{len(empty)} of {len(cells)} cells of the {role} column `{name}` are empty",
                where=self.lines[empty[0]],
                allowed="Every row has a value in each column that is used",
                do="Fill or drop these rows, or leave the column out",
            )
        try:
            numbers = np.array(cells).astype(np.float64)
        except ValueError:
            at = next(at for at, cell in enumerate(cells) if not is_number(cell))
            hint = "leave it out of `features`" if role == "feature" else "name another column, or a task with classes"
            raise DataError(
                f"the {role} column `{name}` holds text, `{cells[at][:40]}`",
                where=self.lines[at],
                allowed=f"A {role} of this task is a number, with a decimal point",
                do=f"Correct the cell, or {hint}",
            ) from None
        if bad := np.flatnonzero(~np.isfinite(numbers)).tolist():
            raise not_finite(len(bad), len(cells), f"rows of the {role} column `{name}`", self.lines[bad[0]])
        return numbers


def _table(root: Path) -> _Table:
    files = sorted(root.glob("*.csv")) if root.is_dir() else [root]
    if not files:
        raise DataError("the folder holds no file that ends in .csv", where=str(root), allowed=_ALLOWED, do=_DO)
    columns: dict[str, list[str]] = {}
    lines: list[str] = []
    numbers: list[int] = []
    for number, file in enumerate(files):
        header, rows, places = _rows(file)
        if number == 0:
            columns = {name: [] for name in header}
        elif set(header) != set(columns):
            unlike = sorted(set(header) ^ set(columns))[0]
            raise DataError(
                f"the column `{unlike}` is in one file and not in the other",
                where=str(file),
                allowed=f"All files have the columns of {files[0].name}: {', '.join(columns)}",
                do="Rename or add it",
            )
        for name, cells in zip(header, zip(*rows, strict=True), strict=True):
            columns[name].extend(cells)
        lines += places
        numbers += [number] * len(rows)
    return _Table(columns, lines, numbers, str(root))


def _rows(file: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the names of the columns, the rows, and file and line of each row."""
    try:
        text = read_regular(file).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the file cannot be read ({reason(error)})", where=str(file), allowed=_ALLOWED, do="Correct or replace it"
        ) from error
    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=max(SEPARATORS, key=first.count), strict=True)
    rows: list[list[str]] = []
    places: list[str] = []
    header: list[str] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if header and len(row) != len(header):
                raise _malformed(f"there are {len(row)} cells for {len(header)} columns", file, reader.line_num)
            if header:
                rows.append(row)
                places.append(f"{file}:{reader.line_num}")
            else:
                header = [name.strip() for name in row]
    except csv.Error as error:
        raise _malformed(f"this is no row ({error})", file, reader.line_num) from error
    if not rows:
        raise _malformed("the file holds no rows" if header else "the file is empty", file, 1)
    if twice := [name for name in header if not name or header.count(name) > 1]:
        raise _malformed(f"two columns are called `{twice[0]}`" if twice[0] else "a column has no name", file, 1)
    return header, rows, places


def _malformed(problem: str, file: Path, line: int) -> DataError:
    return DataError(problem, where=f"{file}:{line}", allowed=_ALLOWED, do="Correct the file")


def _targets(table: _Table, targets: Sequence[str], task: Task) -> tuple[Tensor, tuple[str, ...]]:
    """Return the targets of all rows, and the names of classes where a sample has one."""
    if task.strata(torch.zeros(1, dtype=torch.int64)) is None:
        wanted = number_targets(np.stack([table.numbers(name, "target") for name in targets], 1), task)
        return wanted, tuple(targets) if task.class_count(wanted) == len(targets) else ()
    if len(targets) > 1:
        raise ConfigError(
            f"`target` names {len(targets)} columns",
            where="data",
            allowed="A sample has one class, in one column",
            do="Name one column, or another task",
        )
    cells = [cell.strip() for cell in table.columns[targets[0]]]
    if empty := [at for at, cell in enumerate(cells) if not cell]:
        raise DataError(
            f"{len(empty)} of {len(cells)} cells of the target column `{targets[0]}` are empty",
            where=table.lines[empty[0]],
            allowed="Every row has a class",
            do="Fill or drop these rows",
        )
    names = classes_of(cells)
    fractions = [name for name in names if is_number(name) and not name.removeprefix("-").isdigit()]
    if len(fractions) == len(names):
        raise DataError(
            f"the target column `{targets[0]}` holds {len(names)} numbers such as `{fractions[0]}`",
            where=table.where,
            allowed="A class is a text or a whole number",
            do="Name another column, or set `task: regression`",
        )
    return labels_of(cells, names, table.where), names


def _names(option: Any) -> list[str]:
    """Return the names of an option of one or several columns, which YAML may read as numbers."""
    return list(map(str, option)) if isinstance(option, list | tuple) else [] if option is None else [str(option)]


_Columns = tuple[NDArray[np.float32], Tensor, "NDArray[Any] | None"]
"""Features, targets and groups of all rows."""


def _windowed(table: _Table, how: Windows, columns: _Columns, raw: Raw, names: tuple[str, ...]) -> Source:
    values, wanted, groups = columns
    recordings = _recordings(table, how, groups)
    check_lengths(recordings, how.length, table.where)
    rate = sampling_rate(recordings, how.rate_hz, table.where)
    labels = None if wanted.is_floating_point() else wanted.numpy()
    windows = cut(recordings, how, labels)
    rows = windows.rows
    if not len(rows):
        raise DataError(
            f"no stretch of one class is {how.length} rows long",
            where=table.where,
            allowed="A window lies within one class, and between two gaps",
            do="Use a shorter window",
        )
    inputs = torch.from_numpy(np.ascontiguousarray(values[rows].transpose(0, 2, 1)))
    taken = wanted[torch.from_numpy(rows)]
    targets = taken.mean(1) if taken.is_floating_point() else taken[:, 0]
    notes = [f"{lost} of {len(values)} rows are in no window"] if (lost := len(values) - len(np.unique(rows))) else []
    if groups is None and windows.block:
        notes.append(
            f"recordings are too few to be split whole: their blocks of {windows.block} rows are split instead"
        )
    own = windows.groups if groups is None else groups[rows[:, 0]]
    step: Step = {"step": "window", "length": how.length, "every": how.step}
    raw = Raw(steps=(step,), order="windows by file and line", channels=raw.channels, rate_hz=rate, notes=tuple(notes))
    return Source(names, {"train": Pool(Stored(inputs), targets, table.where, own)}, raw)


def _recordings(table: _Table, how: Windows, groups: NDArray[Any] | None) -> list[Recording]:
    keys = [np.array(table.files)]
    keys += [] if groups is None else [groups]
    named = None if how.recording is None else table.texts(how.recording)
    keys += [] if named is None else [named]
    change = np.zeros(len(table.files) - 1, bool)
    for key in keys:
        change |= key[1:] != key[:-1]
    ends = [0, *(np.flatnonzero(change) + 1).tolist(), len(table.files)]
    times = None if how.time is None else _times(table, how.time)
    made, numbers = list[Recording](), dict[tuple[int, str], int]()
    for first, end in pairwise(ends):
        name, number = f"the recording at {table.lines[first]}", None
        if named is not None:
            name = f"`{named[first]}`"
            number = numbers.setdefault((table.files[first], str(named[first])), len(numbers))
        made.append(Recording(name, first, end - first, None if times is None else times[first:end], number))
    return made


def _times(table: _Table, name: str) -> NDArray[np.float64]:
    cells = table.columns[name]
    if not cells[0].strip() or is_number(cells[0]):
        return table.numbers(name, "time")
    times = np.empty(len(cells))
    for at, cell in enumerate(cells):
        try:
            times[at] = datetime.fromisoformat(cell.strip()).timestamp()
        except ValueError:
            raise DataError(
                f"the time column `{name}` holds `{cell[:40]}`",
                where=table.lines[at],
                allowed="Times are seconds, or dates and times as ISO 8601 writes them",
                do="Correct the column, or name another one",
            ) from None
    return times
