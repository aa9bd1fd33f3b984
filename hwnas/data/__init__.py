"""Data sets: images with labels, split by a seed into train, validation and test. A new kind is one file, one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.data.batches import AUGMENTATIONS, augment, batches
from hwnas.data.dataset import Dataset, Split
from hwnas.data.facts import Raw
from hwnas.data.load import load_from
from hwnas.data.source import Pool, Source, Stored
from hwnas.registry import Family, no_function

DATA_SETS = Family(
    "data_sets",
    {  # name in YAML -> its reader, whose keyword arguments are its options
        "digits": "hwnas.data.digits:read",
        "cifar10": "hwnas.data.cifar10:read",
        "idx": "hwnas.data.idx:read",
        "images": "hwnas.data.images:read",
        "function": "hwnas.data.function:read",
    },
    no_function,
)

__all__ = [
    "AUGMENTATIONS",
    "DATA_SETS",
    "Dataset",
    "Pool",
    "Raw",
    "Source",
    "Split",
    "Stored",
    "augment",
    "batches",
    "load_data",
]


def load_data(name_or_spec: str | Mapping[str, Any], *, seed: int, base: Path | None = None) -> Dataset:
    """Load the data set of a name (`digits`), a function (`mine.py:load`), or a mapping of a name and options.

    The options `validation` and `test` (shares to split off where the data has no such split), `limit` (that many
    training images) and `resolution` go with every kind; `path`, `channels` and `function` with some. Paths are taken
    from here, then from `base`.

    Raises:
        ConfigError: an unknown name or option, or a value that is none.
        DataError: files that are missing, damaged or do not belong together.
    """
    return load_from(DATA_SETS, name_or_spec, seed=seed, base=base or Path())
