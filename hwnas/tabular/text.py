"""CSV, plain or compressed: names in the first line, one row per line."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.tabular.columns import Loaded, damaged
from hwnas.words import counted


def read_csv(path: Path) -> Loaded:
    """Return all columns as text."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="") as file
        ):
            lines = list(csv.reader(file, strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise damaged(path, error) from error
    lines = [line for line in lines if line]
    if len(lines) < 2:
        raise _error(
            path, f"it holds {counted(len(lines), 'line')}", "A line of names comes first, then a line for each network"
        )
    names = tuple(name.strip() for name in lines[0])
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _error(path, f"two columns are called `{twice}`", "Columns have names of their own")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(names):
            raise _error(
                path,
                f"row {number} of {len(lines) - 1} has {len(line)} cells, the first line names {len(names)}",
                "Every row has a cell for each column; a last row that is short was cut off",
            )
    columns = dict(zip(names, zip(*lines[1:], strict=True), strict=True))

    def load(name: str) -> NDArray[Any]:
        return np.array([cell.strip() for cell in columns[name]])

    return names, load


def _error(path: Path, met: str, allowed: str) -> DataError:
    return DataError(met, where=str(path), allowed=allowed, do="Correct the file, or download it again")
