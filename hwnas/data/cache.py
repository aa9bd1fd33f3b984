"""Arrays that take long to make, kept in a folder of the user's, so that they are made once."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.io.atomic import write_atomic
from hwnas.io.regular import open_regular
from hwnas.io.resources import cache_folder

Arrays = dict[str, NDArray[Any]]


def cached_arrays(name: str, options: Mapping[str, Any], make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
    """Return the arrays that `make` makes, read from the cache if they were made there before.

    A file that is damaged is made again, and a folder that cannot be written is done without.

    Args:
        name: begins the file's name.
        options: all that the arrays depend on, JSON-ready: other options are another file.
        make: makes the arrays by name; it is called if there is no file.

    Returns:
        The arrays by name.

    Example:
        >>> import numpy as np
        >>> cached_arrays("doctest", {"count": 3}, lambda: {"x": np.arange(3)})["x"].tolist()
        [0, 1, 2]
    """
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode()).hexdigest()
    file = cache_folder() / f"{name}-{digest[:12]}.npz"
    try:
        with open_regular(file) as content, np.load(content, allow_pickle=False) as opened:
            return {key: opened[key] for key in opened.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # it is not there, or damaged
    arrays = {key: np.asarray(value) for key, value in make().items()}
    with suppress(OSError):
        write_atomic(file, lambda content: np.savez(content, allow_pickle=False, **arrays))
    return arrays
