"""A small space and synthetic data for each task of hwnas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hwnas.data import Dataset, Pool, Source, Stored
from hwnas.data.load import Options, split_source
from hwnas.network import bound_task
from hwnas.space import Space, parse_space

COUNT = 160


@dataclass(frozen=True)
class TaskCase:
    """What a task is named, what learns it, and what it is learned from."""

    task: str | Mapping[str, Any]
    raw: Mapping[str, Any]
    """Keys of the space."""
    samples: Callable[[torch.Generator], tuple[Tensor, Tensor]]
    """Function that draws inputs and targets."""

    @cached_property
    def space(self) -> Space:
        """The space, with the task."""
        return parse_space({"name": "case", "task": self.task, **self.raw}, where="case.yaml")

    @cached_property
    def data(self) -> Dataset:
        """The data, split and normalised."""
        inputs, targets = self.samples(torch.Generator().manual_seed(0))
        task = bound_task(self.space)
        pool = Pool(Stored(inputs), task.as_targets(targets, tuple(inputs.shape[1:]), where="case"), "case")
        source = Source(tuple(map(str, range(task.class_count(targets)))), {"train": pool})
        return split_source(source, Options(), seed=0, name="case", task=task)


def _waves(generator: torch.Generator, speeds: Tensor) -> Tensor:
    """(N, 2, 24), each at a random phase."""
    phases = torch.rand(len(speeds), 1, 1, generator=generator) * 6
    steps = torch.arange(24) * (1 + speeds.reshape(-1, 1, 1)) / 4
    return torch.cat([torch.sin(steps + phases), torch.cos(steps + phases)], 1)


def _classes(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Signals whose speed tells the class; one class is twice as frequent as the others."""
    labels = torch.arange(COUNT) % 4 % 3
    return _waves(generator, labels), labels


def _labels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Signals of two speeds, of which each may be there or not."""
    targets = torch.rand(COUNT, 2, generator=generator) < 0.5
    slow, fast = (_waves(generator, torch.full((COUNT,), speed)) for speed in (0, 3))
    return targets[:, :1, None] * slow + targets[:, 1:, None] * fast, targets


def _numbers(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two numbers of unlike sizes, in units in which neither has a mean of 0."""
    inputs = torch.randn(COUNT, 6, generator=generator)
    return inputs, torch.stack([300 + 40 * inputs[:, 0], 0.02 + 0.001 * inputs[:, 1:].sum(1)], 1)


def _pixels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Squares on a noisy ground; pixels of the lowest row are left out."""
    images = 0.3 * torch.randn(COUNT, 1, 8, 8, generator=generator)
    targets = torch.zeros(COUNT, 8, 8, dtype=torch.int64)
    for index, (top, left) in enumerate(torch.randint(0, 5, (COUNT, 2), generator=generator).tolist()):
        images[index, 0, top : top + 4, left : left + 4] += 2
        targets[index, top : top + 4, left : left + 4] = 1
    targets[:, -1] = 255
    return images, targets


def _normal(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vectors that two numbers decide."""
    hidden = torch.randn(COUNT, 2, generator=generator)
    return hidden @ torch.randn(2, 12, generator=generator), torch.zeros(COUNT, dtype=torch.int64)


SIGNALS = {
    "input": {"shape": [2, 24]},
    "stages": [
        {"name": "s1", "op": "conv1d", "width": [6, 8], "kernel": [3, 5], "stride": 2, "depth": [1, 2]},
        {"name": "head", "op": "classifier"},
    ],
}
DENSE = {"name": "s1", "op": "mlp", "width": [8, 16], "depth": [1, 2]}
CODE = {"name": "code", "op": "mlp", "width": 3}
NUMBERS_HEAD = {"name": "head", "op": "regressor"}
PIXELS = {
    "input": {"channels": 1, "resolution": 8},
    "classes": 2,
    "stages": [
        {"name": "s1", "op": "conv", "stride": 2, "width": [6, 8], "kernel": [3, 5]},
        {"name": "head", "op": "densehead", "scale": 2},
    ],
}
CASES: dict[str, TaskCase] = {
    "classification": TaskCase(
        {"name": "classification", "class_weights": "balanced", "quality": "macro_f1"},
        {**SIGNALS, "classes": 3},
        _classes,
    ),
    "multilabel": TaskCase({"name": "multilabel", "quality": "auroc"}, {**SIGNALS, "classes": 2}, _labels),
    "regression": TaskCase(
        {"name": "regression", "unit": "mm"},
        {"input": {"shape": [6]}, "outputs": 2, "stages": [DENSE, NUMBERS_HEAD]},
        _numbers,
    ),
    "segmentation": TaskCase("segmentation", PIXELS, _pixels),
    "reconstruction": TaskCase(
        "reconstruction", {"input": {"shape": [12]}, "outputs": 12, "stages": [DENSE, CODE, NUMBERS_HEAD]}, _normal
    ),
}
