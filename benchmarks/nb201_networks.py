"""Published tables of accuracies as networks of hwnas: rows of equal networks are scored once."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree
from hwnas.data import Dataset
from hwnas.errors import ConfigError, NoScore, did_you_mean
from hwnas.network import lower
from hwnas.notation import read_architecture
from hwnas.pipeline import open_space
from hwnas.space import Architecture, Knob, Space


@dataclass(frozen=True)
class Published:
    """A benchmark's table of accuracies."""

    space: Space
    arch: tuple[str, ...]
    """As the benchmark writes them, in the order of the file."""
    accuracy: NDArray[np.float64]
    column: str

    @property
    def name(self) -> str:
        """Of the networks: the space, its classes and its resolution."""
        (resolution,) = self.space.input["resolution"].options
        return f"{self.space.name}_{self.space.width}_{resolution}"

    @property
    def known(self) -> bool:
        """Whether its accuracies are those that others report correlations with."""
        return self.space.name == "nas_bench_201" and self.column.endswith("cifar10")

    @cached_property
    def lower(self) -> Callable[[Architecture], Any]:
        return partial(lower, self.space)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Those that have an accuracy."""
        return np.flatnonzero(np.isfinite(self.accuracy))

    def architecture(self, row: int) -> Architecture:
        """That of a row; rows of equal networks have equal ones."""
        return read_architecture(self.space, self.arch[row], where=f"row {row}")


def read_published(path: Path, column: str, dataset: Dataset | None = None) -> Published:
    """NAS-Bench-201 or NAS-Bench-Macro, by how the file writes its architectures (`arch`).

    Networks are built for the classes and the resolution of a data set, if one is given.

    Raises:
        ConfigError: the file cannot be read, the column is not there or holds no numbers, or the architectures are of
            neither benchmark.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {key: held[key] for key in ("arch", column) if key in held.files}
            known = [key for key in held.files if key != "arch"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise _refused(f"the file cannot be read ({error})", path, "A NumPy archive without pickled objects") from error
    if missing := [key for key in ("arch", column) if key not in arrays]:
        raise _refused(f"no column `{missing[0]}`", path, did_you_mean(missing[0], ["arch", *known]))
    arch = tuple(entry.decode() if isinstance(entry, bytes) else str(entry) for entry in arrays["arch"].tolist())
    accuracy = arrays[column]
    if accuracy.shape != (len(arch),) or accuracy.dtype.kind not in "fiu" or not np.isfinite(accuracy).any():
        raise _refused(
            f"`{column}` is of {accuracy.dtype} and has the shape {accuracy.shape}",
            path,
            f"One number for each of {len(arch)} architectures, such as a column of means; NaN where there is none",
        )
    space, _ = open_space("nas_bench_201" if arch[0].startswith("|") else "nas_bench_macro")
    assert isinstance(space, Space)
    if dataset is not None:
        sides = {**space.input, "resolution": Knob((dataset.resolution,))}
        space = replace(space, width=dataset.classes, input=sides)
    return Published(space, arch, accuracy.astype(np.float64), column)


def _refused(met: str, path: Path, allowed: str) -> ConfigError:
    return ConfigError(met, where=str(path), allowed=allowed, do="Name another file or column")


class Cache:
    """Scores in a folder, a file of lines for each producer: what was interrupted goes on where it stopped."""

    def __init__(self, folder: Path, space: str, scorer: TrainingFree) -> None:
        """`space` tells networks apart that the scorer's producer does not."""
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

    def __contains__(self, architecture: Architecture) -> bool:
        return architecture.key in self._known

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
