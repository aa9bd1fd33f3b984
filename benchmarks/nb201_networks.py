"""Published tables of accuracies as networks of hwnas: rows of equal networks are scored once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, NoScore, did_you_mean
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pipeline import open_space
from hwnas.proxies.training_free.scorer import TrainingFree
from hwnas.space import Architecture, Space

IMAGES = 2048
"""Training images that are read of a data set: batches are the first of them, and they are normalised by all."""


@dataclass(frozen=True)
class Published:
    """A benchmark's table of accuracies."""

    space: Space
    arch: tuple[str, ...]
    """As the benchmark writes them, in the order of the file."""
    accuracy: NDArray[np.float64]
    column: str

    @property
    def known(self) -> bool:
        """Whether its accuracies are those that others report correlations with."""
        return self.space.name == "nas_bench_201" and self.column.endswith("cifar10")

    @cached_property
    def lower(self) -> Callable[[Architecture], Any]:
        return partial(lower, self.space)

    def architecture(self, row: int) -> Architecture:
        """That of a row; rows of equal networks have equal ones."""
        return read_architecture(self.space, self.arch[row], where=f"row {row}")


def read_published(path: Path, column: str, classes: int | None = None) -> Published:
    """NAS-Bench-201 or NAS-Bench-Macro, by how the file writes its architectures (`arch`).

    Raises:
        ConfigError: the column is not there, or the architectures are of neither.
    """
    with np.load(path, allow_pickle=False) as held:
        if column not in held.files or "arch" not in held.files:
            missing = column if column not in held.files else "arch"
            raise ConfigError(
                f"no column `{missing}`", where=str(path), allowed=did_you_mean(missing, held.files), do="Name another"
            )
        arch, accuracy = tuple(map(str, held["arch"])), held[column].astype(np.float64)
    name = "nas_bench_201" if arch[0].startswith("|") else "nas_bench_macro"
    if accuracy.shape != (len(arch),):
        raise ConfigError(
            f"`{column}` has the shape {accuracy.shape}",
            where=str(path),
            allowed=f"One number for each of {len(arch)} architectures",
            do="Name a column of means, such as `mean_acc`",
        )
    space, _ = open_space(name)
    assert isinstance(space, Space)
    return Published(space if classes is None else replace(space, classes=classes), arch, accuracy, column)


def read_images(path: Path, seed: int) -> tuple[Dataset, int]:
    """The data set of a file in the layout of `cifar10_jpeg.npz`, and its number of classes, from `y_train`."""
    with np.load(path, allow_pickle=False) as held:
        classes = int(held["y_train"].max()) + 1
    return load_data({"name": "cifar10", "path": str(path.resolve()), "limit": IMAGES}, seed=seed), classes


class Cache:
    """Scores in a folder, a file of lines for each producer: what was interrupted goes on where it stopped."""

    def __init__(self, folder: Path, space: str, scorer: TrainingFree) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = sha256(scorer.producer.encode()).hexdigest()[:10]
        self.path = folder / f"{space}_{scorer.name}_{name}.jsonl"
        self._scorer = scorer
        self._known: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # else cut off when it was written
                    entry = json.loads(line)
                    self._known[entry["key"]] = entry

    def score(self, architecture: Architecture) -> Mapping[str, Any]:
        """`score`, or None and the `reason`; `ms` of processor time."""
        if architecture.key not in self._known:
            entry = {"key": architecture.key, **_measured(self._scorer, architecture)}
            self._known[architecture.key] = entry
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        return self._known[architecture.key]


def _measured(scorer: TrainingFree, architecture: Architecture) -> dict[str, Any]:
    started = time.process_time()
    try:
        found: dict[str, Any] = {"score": scorer(architecture)}
    except NoScore as error:
        found = {"score": None, "reason": error.met}
    return {**found, "ms": round(1e3 * (time.process_time() - started), 2)}


def distinct(published: Published, rows: Sequence[int]) -> Iterator[tuple[Architecture, list[int]]]:
    """The networks of rows, each once, with the places in `rows` where they stand."""
    places: dict[Architecture, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(published.architecture(row), []).append(place)
    yield from places.items()
