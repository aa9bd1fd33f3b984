"""A task: what goes in, what comes out, how a network learns it and how it is judged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, did_you_mean
from hwnas.quantities import Quantity

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
Tensors = Any
"""A tensor, or several in a tuple or a mapping: the task knows which."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    shape: Shape
    """Without the batch axis; of any rank."""
    dtype: str = "float32"
    """numpy's name."""
    below: int | None = None
    """Of whole numbers, such as token ids: all of them are smaller, and none is negative."""


class Batch(NamedTuple):
    """Some samples: inputs, and the targets that belong to them."""

    inputs: Tensors
    targets: Tensors


class Terms(NamedTuple):
    """Words for the data of a task, in messages, manifests and reports."""

    sample: str = "sample"
    samples: str = "samples"
    outputs: str = "outputs"
    same: str = "gives PyTorch's answer"
    """Predicate of a file on the samples that `Agreement.share` counts."""


class Estimate(NamedTuple):
    """Value of a metric, with its standard error where that is known."""

    value: float
    error: float | None = None


class Agreement(NamedTuple):
    """Comparison of two networks' outputs on the same samples."""

    max_difference: float
    """Largest absolute difference of any output."""
    share: float
    """Share of the samples on which both give the same answer, in the sense of the task."""


@dataclass(frozen=True)
class Sums:
    """Statistics of some samples, from which metrics follow. Those of disjoint parts add up to those of the whole."""

    count: int
    totals: Mapping[str, Any] = field(default_factory=dict)
    """Numbers or arrays that are added."""
    samples: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Arrays with a row for each sample, in order; paired comparisons and ranks need them."""

    def __add__(self, other: Sums) -> Sums:
        totals = {name: value + other.totals[name] for name, value in self.totals.items()}
        samples = {name: np.concatenate([rows, other.samples[name]]) for name, rows in self.samples.items()}
        return Sums(self.count + other.count, totals, samples)


@dataclass(frozen=True)
class Task(ABC):
    """Contract of what networks of a space learn. A subclass is final; its further fields are the task's options.

    A space's own task knows no shapes, `inputs` and `outputs` are empty; `at` gives that of a network. Tensors have the
    batch axis first. What a method is handed in `outputs` is what a network of the task returns.
    """

    input_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of `input` in a space file, in place of `shape`."""
    elastic: ClassVar[tuple[str, ...]] = ()
    """Those of them that may be a choice."""
    width_key: ClassVar[str] = "outputs"
    """Key of a space file that gives the width of the last stage."""
    metrics: ClassVar[tuple[Quantity, ...]]
    """Metrics by which a network is judged; the first is the quality that a search optimizes."""
    terms: ClassVar[Terms] = Terms()

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    # --- shapes ---

    def shape(self, sizes: Mapping[str, int]) -> Shape:
        """Return the shape of a network's input, from one size for each key of a space's `input`."""
        return tuple(sizes.values())

    def at(self, shape: Shape, width: int) -> Self:
        """Return the task of networks that take this shape and whose last operator is as wide as `width`."""
        bound: Self = _at(self, shape, width)
        return bound

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Return the inputs and the outputs of such networks: here, one of each, in float32."""
        return (TensorSpec("input", shape),), (TensorSpec("output", (width,)),)

    # --- learning ---

    @abstractmethod
    def loss(self, outputs: Tensors, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""

    def distill(self, outputs: Tensors, teacher_outputs: Tensors, temperature: float) -> torch.Tensor:
        """Return the mean loss against a teacher's outputs for the same inputs: here, their mean squared difference."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, teacher_outputs)

    def smoothed(self, share: float) -> Self:
        """Return the task with a loss of smoothed labels, where it has such: here, as it is."""
        return self

    # --- judging ---

    @property
    def quality(self) -> Quantity:
        """The metric that a search optimizes."""
        return self.metrics[0]

    def quality_text(self, value: float) -> str:
        """Return a quality with its unit, such as `71.3%`."""
        unit = self.quality.unit
        return f"{value:.1%}" if unit == "fraction" else f"{value:.4g} {unit}".rstrip()

    @abstractmethod
    def statistics(self, outputs: Tensors, batch: Batch) -> Sums:
        """Return what metrics and their errors are computed from."""

    @abstractmethod
    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        """Return the value of each metric, by name."""

    def standard_error(self, value: float, count: int) -> float | None:
        """Return the standard error of the quality where it follows from the value and the number of samples."""
        return None

    @abstractmethod
    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Compare outputs of an exported file with those of the network that it was made of."""

    # --- deferring ---

    def deferral_scores(self, outputs: NDArray[Any], temperature: float = 1.0) -> Mapping[str, NDArray[Any]]:
        """Return (N,) confidences in outputs by the name of the rule, high where they are likely right: here, none.

        An edge that is not confident hands a sample over to the cloud; without a rule it never does.
        """
        return {}

    def fitted_temperature(self, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
        """Return the temperature at which confidences fit the targets: here 1, which changes nothing."""
        return 1.0

    def sample_scores(self, outputs: Tensors, batch: Batch) -> NDArray[Any]:
        """Return (N,) numbers from 0 to 1 whose mean is the quality: here, the quality's row for each sample.

        Raises:
            ConfigError: the task's statistics hold none.
        """
        rows = self.statistics(outputs, batch).samples.get(self.quality.name)
        if rows is None or rows.ndim != 1 or rows.min(initial=0) < 0 or rows.max(initial=0) > 1:
            raise ConfigError(
                f"`{self.quality.name}` is no mean over samples of numbers from 0 to 1",
                where=f"task `{type(self).__name__}`",
                allowed="A cascade is judged sample by sample",
                do="Let the task return such numbers from `sample_scores`",
            )
        return np.asarray(rows, dtype=float)

    # --- data ---

    def fitted(self, inputs: Tensors, shape: Shape) -> Tensors:
        """Return inputs as a network takes them whose input has this shape: here, as they are."""
        return inputs

    @property
    def augmentations(self) -> Mapping[str, Any]:
        """Random changes of inputs that keep their targets, by name; `none` changes nothing."""
        return {"none": None}

    def augment(self, inputs: Tensors, generator: torch.Generator, kind: str) -> Tensors:
        """Return inputs, each changed at random as the augmentation of that name says: here, `none` is the only one."""
        if kind not in self.augmentations:
            raise ConfigError(
                f"unknown augmentation `{kind}`",
                where="train",
                allowed=did_you_mean(kind, self.augmentations),
                do="Use a known augmentation",
            )
        return inputs

    def strata(self, targets: Tensors) -> torch.Tensor | None:
        """Return the number of the group that each sample is in, if every split needs its share of all groups."""
        return None

    def random_inputs(self, rng: np.random.Generator, batch: int) -> tuple[NDArray[Any], ...]:
        """Return finite inputs for timing, one array for each of `inputs`."""
        return tuple(_random(spec, rng, batch) for spec in self.inputs)

    def random_targets(self, count: int, generator: torch.Generator) -> Tensors:
        """Return targets drawn at random, for proxies that look at no data: here, standard normal numbers."""
        import torch

        return torch.randn(count, *self.outputs[0].shape, generator=generator)

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        """Refuse data whose inputs have this shape and whose targets are this wide, if they do not fit the networks.

        Raises:
            ConfigError: they do not.
        """
        (wanted,), (output,) = self.inputs, self.outputs
        if (shape, width) != (wanted.shape, output.shape[-1]):
            raise ConfigError(
                f"the data has inputs of shape {shape} and {width} targets, the space expects {wanted.shape} and "
                f"{output.shape[-1]}",
                where=where,
                allowed=f"Data and space agree on shapes and on `{self.width_key}`",
                do=f"Change `input` and `{self.width_key}` of the space, or choose other data",
            )


def no_task(name: str, value: Any) -> str | None:
    """Return the fault of a member that is no class of tasks; None if it is one."""
    return None if isinstance(value, type) and issubclass(value, Task) else f"is {value!r}, and a `Task` is needed"


def binomial_error(share: float, count: int) -> float:
    """Return the standard error of a share of `count` observations."""
    return math.sqrt(share * (1 - share) / count)


@lru_cache(maxsize=4096)
def _at(task: Any, shape: Shape, width: int) -> Any:
    inputs, outputs = task.specs(shape, width)
    return replace(task, inputs=inputs, outputs=outputs)


def _random(spec: TensorSpec, rng: np.random.Generator, batch: int) -> NDArray[Any]:
    dtype, shape = np.dtype(spec.dtype), (batch, *spec.shape)
    if dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    low, high = (np.iinfo(dtype).min, int(np.iinfo(dtype).max) + 1) if spec.below is None else (0, spec.below)
    return rng.integers(low, high, shape, dtype=dtype)
