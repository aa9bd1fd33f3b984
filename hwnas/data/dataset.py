"""A data set as all other modules use it: facts, and three splits that hand out normalised batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from hwnas.data.facts import Raw, described, resizing, spelled
from hwnas.data.source import Inputs, Several
from hwnas.errors import DataError
from hwnas.tasks import Task
from hwnas.tasks.ends import Shape, Tensors, TensorSpec, specs_of
from hwnas.words import brief


@brief
@final
@dataclass(frozen=True, eq=False)
class Split:
    """Some of the samples of a pool, in random order. `mean` and `std` (C, 1, ...) are those of the training split."""

    inputs: Inputs
    indices: Tensor
    """(N,) places in `inputs`."""
    targets: Tensor
    """(N, ...): labels, int64, where samples belong to classes."""
    mean: Any
    """Of several inputs a tuple of tensors, as is `std`."""
    std: Any
    training_targets: Tensor | None = None
    """Targets of the training split; None: those of this one."""
    _tasks: dict[Task, Task] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor) -> Tensors:
        """Return inputs (N, ...) in float32, normalised; `indices` count within the split. Whole numbers are int64."""
        return self.normalised(self.inputs.take(self.indices[indices]))

    def normalised(self, taken: Tensors) -> Tensors:
        """Return inputs as `Inputs.take` gives them, which may be overwritten, as they are in a batch."""
        if isinstance(taken, tuple):
            return tuple(map(_normalised, map(_numbers, taken), self.mean, self.std))
        return _normalised(_numbers(taken), self.mean, self.std)

    def first(self, count: int) -> Split:
        """Return the first `count` samples; the order is random, so they are a fair sample."""
        own = self.targets if self.training_targets is None else self.training_targets
        return replace(self, indices=self.indices[:count], targets=self.targets[:count], training_targets=own)

    def every(self) -> Tensors:
        """Return all inputs as one batch."""
        return self.batch(torch.arange(len(self)))

    def fit(self, task: Task) -> Task:
        """Return a task that knows the training targets, see `Task.fit`."""
        if task not in self._tasks:
            self._tasks[task] = task.fit(self.targets if self.training_targets is None else self.training_targets)
        return self._tasks[task]


def _normalised(taken: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return taken.sub_(mean).div_(std) if taken.is_floating_point() else taken


def numbers(inputs: Inputs, indices: Tensor) -> Tensors:
    """Return (N, ...) float32, bytes scaled to 0..1; or int64, as it is. Several inputs are a tuple."""
    taken = inputs.take(indices)
    return tuple(map(_numbers, taken)) if isinstance(taken, tuple) else _numbers(taken)


def _numbers(taken: Tensor) -> Tensor:
    if taken.dtype == torch.int64:
        return taken
    return taken.float().div_(255) if taken.dtype == torch.uint8 else taken.float()  # `take` made a copy


def is_whole(inputs: Inputs) -> bool:
    """Return True if inputs are whole numbers, such as tokens, which are not normalised."""
    taken: Tensor = inputs.take(torch.tensor([0]))
    return taken.dtype == torch.int64


@brief
@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs with targets in three splits; of images (channels, height, width) in classes, for example.

    `name` tells unlike data apart: it holds every option that is not at its default.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    held_back: Split | None
    """The test split; None in the data set of a search."""
    raw: Raw = field(default_factory=Raw)
    """Processing of the values before they stood in `inputs` of the splits."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def shape(self) -> Shape:
        """Shape of one input."""
        inputs = self.train.inputs
        if isinstance(inputs, Several) or not is_whole(inputs):
            return inputs.shape
        return (TensorSpec("input", inputs.shape, "int64"),)

    def ends(self, index: int = 0) -> tuple[int, int]:
        """Return the smallest and the largest number of an input, a token for example, over all splits."""
        low, high = 0, 0
        for split in (self.train, self.validation, *([] if self.held_back is None else [self.held_back])):
            for some in torch.split(split.indices, 1024):
                taken: Any = split.inputs.take(some)
                part = taken[index] if isinstance(taken, tuple) else taken
                low, high = min(low, int(part.min())), max(high, int(part.max()))
        return low, high

    @property
    def width(self) -> int:
        """Width of a network's output for such targets: the number of classes, or of numbers of a target."""
        return self.classes or self.train.targets[:1].numel()

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for coloured ones."""
        return int(self.train.inputs.shape[0])

    @property
    def resolution(self) -> int:
        """Height, and width, in pixels."""
        return int(self.train.inputs.shape[1])

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Steps from a raw sample to one of a batch, JSON-ready: in words, in numbers, and step by step."""
        return self.preprocessing_at(self.shape)

    def preprocessing_at(self, shape: Shape) -> dict[str, Any]:
        """Return `preprocessing` for a network whose input has another shape: images of another size are resized.

        Of several inputs it stands under `inputs`, by name.
        """
        specs = specs_of(shape)
        if isinstance(self.train.inputs, Several):
            parts = self.train.inputs.parts.values()
            ends = zip(specs, parts, self.train.mean, self.train.std, strict=True)
            return {"inputs": {spec.name: self._one(*rest).preprocessing_at(spec.shape) for spec, *rest in ends}}
        shape = specs[0].shape
        moments = {name: getattr(self.train, name).flatten().tolist() for name in ("mean", "std")}
        taken = self.train.inputs.take(self.train.indices[:1])
        scale = 255 if taken.dtype == torch.uint8 else 1
        steps = [*self.raw.steps, *([{"step": "divide", "by": scale}] if scale != 1 else [])]
        if taken.dtype != torch.int64:
            steps.append({"step": "normalise", **moments})
        if shape[1:] != tuple(taken.shape[2:]):
            steps.append(resizing(*shape[1:]))
        images = len(shape) == 3 and self.raw.rate_hz is None
        form = described(steps, "pixel" if images else "value") or "as they are"
        values = {"pixels": {"range": self._span(), "colour": self.raw.color}} if images else {"values": self._values()}
        notes = {"notes": list(self.raw.notes)} if self.raw.notes else {}
        return {"form": form, **moments, "divide_by": scale, **values, "steps": steps, **notes}

    def _one(self, inputs: Inputs, mean: Tensor, std: Tensor) -> Dataset:
        """Return the data with one of its inputs."""
        return replace(self, train=replace(self.train, inputs=inputs, mean=mean, std=std))

    def _values(self) -> dict[str, Any]:
        rate = {"rate_hz": self.raw.rate_hz} if self.raw.rate_hz is not None else {}
        names = {"channels": list(self.raw.channels)} if self.raw.channels else {}
        return {"range": self._span(), **rate, **names}

    def _span(self) -> list[float]:
        if self.raw.span is not None:
            return list(self.raw.span)
        ends = []
        for some in torch.split(self.train.indices, 1024):
            taken = self.train.inputs.take(some)
            if taken.dtype == torch.uint8:
                return [0, 255]
            ends += [taken.min(), taken.max()]
        return [float(min(ends)), float(max(ends))]

    def test_indices(self, samples: str = "images") -> dict[str, Any]:
        """Return indices and origin of the test split, JSON-ready, the word for samples in its keys; see `test`."""
        own = self.test.inputs is not self.train.inputs
        return {
            "data": self.name,
            "pool": "test" if own else "train",
            f"pool_{samples}": len(self.test.inputs),
            "order": self.raw.order,
            samples: len(self.test),
            "indices": spelled(self.test.indices.tolist()),
        }

    @property
    def test(self) -> Split:
        """The test split, for the final report alone.

        Raises:
            DataError: this data set is for a search, which never sees test data.
        """
        if self.held_back is None:
            raise DataError(
                "the test split was asked for in a search",
                where=f"data set `{self.name}`",
                allowed="A search sees the training and the validation split",
                do="Score on `validation`, and leave `test` to the final report",
            )
        return self.held_back

    def without_test(self) -> Dataset:
        """Return the same data for a search: touching `test` is an error."""
        return replace(self, held_back=None)
