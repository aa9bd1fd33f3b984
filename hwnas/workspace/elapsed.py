"""Seconds by stage, kept in a run's folder over all processes that worked on it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas.errors import RunError, reason
from hwnas.io.atomic import write_file
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.io.regular import read_regular


def read_elapsed(path: Path) -> dict[str, float]:
    """Return the seconds by stage, none if there is no file.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return Fields({"seconds": loads(read_regular(path))}).number_map("seconds")
    except FileNotFoundError:
        return {}
    except (OSError, FieldError) as error:
        raise RunError(
            f"the seconds by stage cannot be read ({reason(error)})",
            where=str(path),
            allowed="It holds one JSON object of stages and seconds",
            do="Delete it: only the report tells them",
        ) from error


@contextmanager
def adding_elapsed(path: Path, stage: str) -> Iterator[None]:
    """Add the seconds of a `with` block to a stage; a file that is damaged is refused before the block."""
    start = time.monotonic()
    read_elapsed(path)
    try:
        yield
    finally:
        known = read_elapsed(path)
        spent = round(known.get(stage, 0.0) + time.monotonic() - start, 2)
        write_file(path, json.dumps({**known, stage: spent}) + "\n")
