"""A file as columns by name. A new format is one file and one row in `READERS`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError, did_you_mean, reason
from hwnas.io.regular import check_regular
from hwnas.registry import member

READERS: Mapping[str, str] = {  # a file's ending -> its reader, imported on use
    ".csv": "hwnas.tabular.text:read_csv",
    ".csv.gz": "hwnas.tabular.text:read_csv",
    ".npz": "hwnas.tabular.npz:read_npz",
    ".parquet": "hwnas.tabular.parquet:read_parquet",
}

Loaded = tuple[tuple[str, ...], Callable[[str], NDArray[Any]]]
"""Result of a reader: the names of the columns, and a function that loads one; both may raise DataError."""


@dataclass(frozen=True)
class Columns:
    """The columns of a file."""

    path: Path
    names: tuple[str, ...]
    load: Callable[[str], NDArray[Any]]

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits of the file's content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, one value per row.

        Raises:
            DataError: the file has none of that name, or it cannot be read.
        """
        if name not in self.names:
            raise DataError(
                f"there is no column `{name}`",
                where=str(self.path),
                allowed=did_you_mean(name, self.names),
                do="Name one of these",
            )
        return self.load(name)

    def texts(self, name: str) -> list[str]:
        """Return a column as text; whole numbers are written without a point."""
        column = self.column(name)
        if column.ndim != 1:
            raise self.error(f"the column `{name}` has the shape {column.shape}", "A name is one value a row")
        return [
            value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
            for value in column.tolist()
        ]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as finite numbers; of several values a row, such as those of seeds, the mean.

        Raises:
            DataError: a value is not a finite number; its row is named.
        """
        column = self.column(name)
        if column.dtype.kind in "US":
            numbers = np.array([self._number(text, name, row) for row, text in enumerate(column.tolist(), 1)], float)
        elif column.dtype.kind in "iuf" and column.ndim in (1, 2):
            numbers = column.astype(np.float64)
        else:
            raise self.error(
                f"the column `{name}` holds {column.dtype} of shape {column.shape}", "A column is of numbers, one a row"
            )
        if not numbers.size:
            raise self.error(f"the column `{name}` holds no number", "A column has a number a row, and a row a network")
        finite = np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise self.error(
                f"row {bad[0] + 1} of `{name}` is no finite number, {len(bad):,} of {len(finite):,} rows are none",
                "A network without a number has no row",
                "Remove these rows: their networks then fail with a reason",
            )
        return numbers if numbers.ndim == 1 else numbers.mean(axis=1)

    def error(self, met: str, allowed: str, do: str = "Correct the file, or name another column") -> DataError:
        """Return an error that names this file."""
        return DataError(met, where=str(self.path), allowed=allowed, do=do)

    def _number(self, text: str, name: str, row: int) -> float:
        try:
            return float(text)
        except ValueError:
            raise self.error(f"row {row} of `{name}` is `{text[:40]}`", "A column is of numbers, one a row") from None


def open_columns(path: Path) -> Columns:
    """Return the columns of a file, by its ending.

    Raises:
        DataError: it is missing, damaged, or of no known format.
        MissingExtra: its format needs a package that is not installed.
    """
    ending = next((ending for ending in READERS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise DataError(
            f"`{path.name}` has no ending that tells its format",
            where=str(path),
            allowed=f"Known: {', '.join(READERS)}",
            do="Convert it, or rename it",
        )
    try:
        check_regular(path)
    except FileNotFoundError:
        raise DataError(
            "there is no such file",
            where=str(path.absolute()),
            allowed="A path from here, or from the experiment",
            do="Correct the path, or put the file there",
        ) from None
    except OSError as error:
        raise damaged(path, error) from error
    names, load = member(READERS, ending, what="format", where=str(path))(path)
    return Columns(path, names, load)


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a file that cannot be read as the format of its ending."""
    return DataError(
        f"the file cannot be read ({reason(error)})",
        where=str(path),
        allowed="It must be whole, and of the format that its ending says",
        do="Download or write it again",
    )
