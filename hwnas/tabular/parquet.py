"""Parquet, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.registry import optional
from hwnas.tabular.columns import Loaded, damaged


def read_parquet(path: Path) -> Loaded:
    """Return the columns by name; each is loaded on demand."""
    parquet = optional("pyarrow.parquet", extra="parquet", why=f"reading {path}")
    arrow = optional("pyarrow", extra="parquet", why=f"reading {path}")
    try:
        names = tuple(parquet.read_schema(path).names)
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise damaged(path, error) from error

    def load(name: str) -> NDArray[Any]:
        try:
            column = parquet.read_table(path, columns=[name])[name]
            values = np.array(column.to_pylist() if column.null_count else column.to_numpy())
        except (OSError, ValueError, arrow.ArrowException) as error:
            raise damaged(path, error) from error
        if values.dtype.kind != "O":
            return values
        numeric = arrow.types.is_floating(column.type) or arrow.types.is_integer(column.type)
        return values.astype(float) if numeric else np.array(["" if cell is None else str(cell) for cell in values])

    return names, load
