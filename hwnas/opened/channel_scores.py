"""Importance of channels that was found on data, and its file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import SpaceError
from hwnas.io.atomic import write_atomic
from hwnas.io.regular import read_regular

IMPORTANCES = ("l1", "activations", "taylor")
"""Ways to tell which channels matter: by weights alone, by what channels carry, by the loss without them."""
KIND = "importance"
"""Entry of a file beside the groups' own."""


@final
@dataclass(frozen=True)
class ChannelScores:
    """Importance of channels, by group: scores of its members in the order of the network of the user's file."""

    kind: str
    digest: str
    """Sixteen digits that identify it; two are equal when theirs are."""
    values: Mapping[str, NDArray[np.float64]] = field(compare=False, repr=False)


def scores_of(kind: str, values: Mapping[str, NDArray[np.float64]]) -> ChannelScores:
    """Return scores of a kind."""
    digest = hashlib.sha256(kind.encode())
    for name, value in sorted(values.items()):
        digest.update(name.encode() + value.astype("<f8").tobytes())
    return ChannelScores(kind, digest.hexdigest()[:16], values)


def write_scores(scores: ChannelScores, path: Path) -> None:
    """Write scores to a file, which is whole at every moment."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{KIND: np.array(scores.kind)}, **scores.values)
    write_atomic(path, content.getvalue())


def read_scores(path: Path) -> ChannelScores:
    """Return the scores in a file.

    Raises:
        SpaceError: it cannot be read, or holds something else.
    """
    try:
        with np.load(io.BytesIO(read_regular(path)), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        kind = str(arrays.pop(KIND))
        if kind not in IMPORTANCES or any(value.ndim != 1 for value in arrays.values()):
            raise ValueError(kind)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SpaceError(
            "the importance of channels cannot be read",
            where=str(path),
            allowed=f"{', '.join(IMPORTANCES)}, or the file that a run keeps beside the network",
            do="Name one of the ways; the file is then written by the run",
        ) from error
    return scores_of(kind, arrays)
