"""NumPy's archives of arrays. Nothing is unpickled."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.tabular.columns import Loaded, damaged


def read_npz(path: Path) -> Loaded:
    """Return the arrays by name; each is loaded on demand."""
    names = tuple(_reading(path, lambda archive: archive.files))

    def load(name: str) -> NDArray[Any]:
        return np.asarray(_reading(path, lambda archive: archive[name]))

    return names, load


def _reading(path: Path, act: Any) -> Any:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return act(archive)
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                "an array holds Python objects, which are never unpickled",
                where=str(path),
                allowed="Arrays are of numbers or of text",
                do="Write it again with arrays of such a type",
            ) from error
        raise damaged(path, error) from error
    except (OSError, EOFError, BadZipFile, KeyError, zlib.error, NotImplementedError, AttributeError) as error:
        raise damaged(path, error) from error
