"""Data sets: inputs with targets, split by a seed into train, validation and test. A new kind is one file, one row.

Names are imported when they are first used, so that an unknown data set is refused before PyTorch is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.data.spec import named_spec
from hwnas.errors import ConfigError, did_you_mean
from hwnas.registry import Family, no_function
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.user_code import check_reference

if TYPE_CHECKING:
    from hwnas.data.dataset import Dataset as Dataset
    from hwnas.data.dataset import Split as Split
    from hwnas.data.facts import Raw as Raw
    from hwnas.data.source import Pool as Pool
    from hwnas.data.source import Source as Source
    from hwnas.data.source import Stored as Stored

DATA_SETS = Family(
    "data_sets",
    {  # name in YAML -> its reader, whose keyword arguments are its options
        "digits": "hwnas.data.readers.digits:read",
        "cifar10": "hwnas.data.readers.cifar10:read",
        "mnist_5k": "hwnas.data.readers.mnist_5k:read",
        "idx": "hwnas.data.readers.idx:read",
        "images": "hwnas.data.readers.images:read",
        "arrays": "hwnas.data.readers.arrays:read",
        "csv": "hwnas.data.readers.csv:read",
        "ts": "hwnas.data.readers.ts:read",
        "wav": "hwnas.data.readers.wav:read",
        "function": "hwnas.data.readers.function:read",
    },
    no_function,
)
_FACE = {  # name -> the module it is imported from; the block above says the same to type checkers
    "Dataset": "hwnas.data.dataset",
    "Pool": "hwnas.data.source",
    "Raw": "hwnas.data.facts",
    "Source": "hwnas.data.source",
    "Split": "hwnas.data.dataset",
    "Stored": "hwnas.data.source",
}


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module `hwnas.data` has no `{name}`")
    value = globals()[name] = getattr(importlib.import_module(_FACE[name]), name)
    return value


def check_data(spec: str | Mapping[str, Any], *, base: Path = Path(), where: str = "data") -> None:
    """Refuse an unknown data set; nothing of it is read.

    Raises:
        ConfigError: it has no name, an unknown one, or is a function of a file that is not there.
    """
    name, options = named_spec(spec)
    if isinstance(function := options.get("function"), str):
        check_reference(function, base=base, where=where)
    if name not in DATA_SETS:
        raise ConfigError(
            f"unknown data set `{name}`", where=where, allowed=did_you_mean(name, DATA_SETS), do="Use a known data set"
        )


def load_data(
    name_or_spec: str | Mapping[str, Any], *, seed: int, base: Path | None = None, task: Task = DEFAULT_TASK
) -> Dataset:
    """Load the data set of a name (`digits`), a function (`mine.py:load`), or a mapping of a name and options.

    The options `validation` and `test` (shares to split off where the data has no such split), `limit` (that many
    training images) and `resolution` go with every kind; `path`, `channels` and `function` with some. Paths are taken
    from here, then from `base`. The `task` says what targets are, and which samples every split needs.

    Raises:
        ConfigError: an unknown name or option, or a value that is none.
        DataError: files that are missing, damaged or do not belong together.
    """
    from hwnas.data.load import load_from

    return load_from(DATA_SETS, name_or_spec, seed=seed, base=base or Path(), task=task)
