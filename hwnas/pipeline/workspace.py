"""A run: an experiment, its space and its folder, opened once and handed to the verbs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import Experiment, dump_experiment, read_experiment
from hwnas.errors import ConfigError, SpaceError
from hwnas.network import Network, check_space, lower
from hwnas.pareto import Limit, Objective, Tier
from hwnas.search.fronts import write_whole
from hwnas.search.lock import RunLock
from hwnas.shipped import find_file
from hwnas.space import AnySpace, Architecture, FunctionSpace, read_space

if TYPE_CHECKING:
    from hwnas.data import Dataset

ACCURACY = "top1@inherited"


@dataclass(frozen=True)
class Run:
    """An experiment with its space, and the folder that holds all that it gives."""

    experiment: Experiment
    space: AnySpace
    space_file: Path
    folder: Path
    base: Path
    """Where relative paths in the experiment begin: its file's folder."""

    @property
    def train_folder(self) -> Path:
        """Checkpoints of the supernet."""
        return self.folder / "train"

    def table_path(self, setup: str) -> Path:
        """The latency table of a set-up: the experiment's own choice, else one in the run's folder."""
        chosen = self.experiment.setups[setup].table
        return Path(chosen) if chosen else self.folder / "latency" / f"{setup}.jsonl"

    def front_path(self, tier: str) -> Path:
        """The front of a tier."""
        return self.folder / "fronts" / f"{tier}.json"

    def tier(self, name: str) -> Tier:
        """A tier's objectives and limits over metrics."""
        config = self.experiment.tiers[name]
        latency, size = f"latency_ms@{config.setup}", f"file_kib@{config.setup}"
        metrics = {"latency_ms": latency, "params": "params", "macs": "macs", "file_kib": size}
        given = {field: getattr(config.limits, field) for field in metrics}
        limits = [Limit(metrics[field], bound) for field, bound in given.items() if bound is not None]
        if config.limits.top1 is not None:
            limits.append(Limit(ACCURACY, config.limits.top1, "least"))
        return Tier(name, (Objective(ACCURACY, "max"), Objective(latency, "min")), tuple(limits))

    @cached_property
    def network(self) -> _Lower:
        """Architecture -> network, with a memory."""
        return _Lower(self.space)

    @cached_property
    def dataset(self) -> Dataset:
        """The data with its test split; only the final report may touch that."""
        from hwnas.data import load_data

        dataset = load_data(self.experiment.data, seed=self.experiment.seed, base=self.base)
        shape = self.network(self.space.smallest()).input_shape
        classes = self.network(self.space.smallest()).operators[-1].out_channels
        if (dataset.channels, dataset.classes) != (shape[0], classes):
            raise ConfigError(
                f"the data has {dataset.channels} channels and {dataset.classes} classes, the space expects "
                f"{shape[0]} and {classes}",
                where=f"experiment `{self.experiment.name}`",
                allowed="Data and space agree on channels and classes",
                do="Change `input.channels` and `classes` of the space, or choose other data",
            )
        return dataset

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a `with` block to `elapsed.json`, under the stage's name."""
        start = time.monotonic()
        yield
        path = self.folder / "elapsed.json"
        known = self.elapsed
        write_whole(
            path, json.dumps({**known, stage: round(known.get(stage, 0.0) + time.monotonic() - start, 2)}) + "\n"
        )

    @property
    def elapsed(self) -> dict[str, float]:
        """Seconds by stage, over all processes that worked on the run."""
        path = self.folder / "elapsed.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    @contextmanager
    def opened(self) -> Iterator[Run]:
        """Lock the folder and write the resolved experiment and the space there."""
        with RunLock(self.folder):
            kept = self.folder / f"space{self.space_file.suffix}"
            if kept != self.space_file:
                shutil.copyfile(self.space_file, kept)
            reference = kept.name if not isinstance(self.space, FunctionSpace) else f"{kept.name}:{self.space.name}"
            resolved = self.experiment.model_copy(update={"space": reference})
            write_whole(self.folder / "experiment.yaml", dump_experiment(resolved))
            yield self


class _Lower:
    def __init__(self, space: AnySpace) -> None:
        self.call = lru_cache(maxsize=100_000)(lambda architecture: lower(space, architecture))

    def __call__(self, architecture: Architecture) -> Network:
        return self.call(architecture)


def open_run(reference: str | Path, *, runs: Path = Path("runs")) -> Run:
    """The run of an experiment: a file, the name of a shipped one, or a run's folder.

    Raises:
        ConfigError, SpaceError: the experiment or its space is at fault; nothing was written.
    """
    given = Path(reference)
    if (given / "experiment.yaml").is_file():
        path, folder = given / "experiment.yaml", given
        experiment = read_experiment(path)
    else:
        path = find_file(reference, "experiments")
        experiment = read_experiment(path)
        folder = runs / experiment.name
    space, space_file = open_space(experiment.space, base=path.parent)
    return Run(experiment, space, space_file, folder, path.parent)


def open_space(reference: str | Path, *, base: Path | None = None) -> tuple[AnySpace, Path]:
    """The checked space that a reference stands for, and its file: YAML, a shipped name, or `file.py:function`.

    Raises:
        ConfigError, SpaceError: it is missing, malformed, or its networks cannot be built.
    """
    text = str(reference)
    space: AnySpace
    if ".py:" in text:
        name, function = text.rsplit(":", 1)
        path = find_file(name, "search_spaces", base)
        space = _function_space(path, function)
    else:
        path = find_file(reference, "search_spaces", base)
        space = read_space(path)
    check_space(space)
    return space, path


def _function_space(path: Path, function: str) -> FunctionSpace:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        build = getattr(module, function)
    except Exception as error:  # a user's file may raise anything
        raise SpaceError(
            f"`{function}` cannot be taken from the file ({type(error).__name__}: {error})",
            where=str(path),
            allowed="The file imports cleanly and defines the function",
            do="Correct the file or the name after the colon",
        ) from error
    return FunctionSpace(function, build, source=str(path))
