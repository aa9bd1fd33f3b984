"""A task: what goes in, what comes out, how a network learns it and how it is judged."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError, DataError
from hwnas.quantities import Quantity
from hwnas.tasks.ends import Shape as Shape
from hwnas.tasks.ends import Tensors as Tensors
from hwnas.tasks.ends import TensorSpec as TensorSpec
from hwnas.tasks.ends import is_plain, random_tensor, shape_of, shape_text, specs_of
from hwnas.tasks.guard import GUARDED, guarded
from hwnas.tasks.metrics.estimate import Estimate
from hwnas.tasks.metrics.sums import Sums as Sums
from hwnas.tasks.resizing import RANKS, is_resizable, resized
from hwnas.user_code import SourceFile, load_source, source_of

if TYPE_CHECKING:
    import torch
    from torch import nn


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
    """Predicate of a file on the share of `compared` that `Agreement.share` counts."""
    compared: str = ""
    """Things that answers are compared on, such as `pixels`; empty: the samples."""
    agreement: str = "Same answer"
    """Head of a column of these shares."""


class Agreement(NamedTuple):
    """Comparison of two networks' outputs on the same samples."""

    max_difference: float
    """Largest absolute difference of any output."""
    share: float
    """Share of the samples on which both give the same answer, in the sense of the task."""
    scale: float = 1.0
    """Size of outputs that a tolerance is a share of, such as the spread of the targets."""


_ROUNDING = 1e-9
ANSWER_TOLERANCE = 0.05
"""Largest difference of numbers, as a share of their spread, at which two networks give the same answer."""
NO_OPTION: Mapping[str, Any] = {"key": None}
"""Metadata of a field that is no option of a space or an experiment."""


@dataclass(frozen=True)
class Task(ABC):
    """Contract of what networks of a space learn. A subclass is final; its further fields are the task's options.

    A space's own task knows no shapes, `inputs` and `outputs` are empty; `at` gives that of a network. Tensors have the
    batch axis first. What a method is handed in `outputs` is what a network of the task returns.
    """

    metrics: ClassVar[tuple[Quantity, ...]]
    """Metrics by which a network is judged; a search optimizes the first, or that of the option `quality`."""
    has_labels: ClassVar[bool] = False
    """True if targets are labels and the loss is their cross-entropy, by which some training-free proxies are
    defined."""

    inputs: tuple[TensorSpec, ...] = field(default=(), metadata=NO_OPTION)
    outputs: tuple[TensorSpec, ...] = field(default=(), metadata=NO_OPTION)
    quality_metric: str = field(default="", repr=False, metadata={"key": "quality"})
    """Name of the metric that a search optimizes; the option is called `quality`."""

    def __init_subclass__(cls) -> None:
        """Have errors of methods that others wrote told with their names and lines."""
        super().__init_subclass__()
        if not cls.__module__.startswith("hwnas."):
            for name, method in vars(cls).copy().items():
                if name in GUARDED and inspect.isfunction(method):
                    setattr(cls, name, guarded(name, method, {"statistics": Sums, "agreement": Agreement}.get(name)))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Of a class in a user's file, another process loads the file: its module cannot be imported by name."""
        source = source_of(type(self))
        if source is None:
            return super().__reduce_ex__(protocol)
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return _of_file, (source, type(self).__qualname__, values)

    @property
    def terms(self) -> Terms:
        """Words for samples and outputs in messages and reports."""
        return Terms()

    # --- shapes ---

    def at(self, shape: Shape, width: int) -> Self:
        """Return the task of networks that take this shape and whose last operator is as wide as `width`."""
        bound: Self = _at(self, shape, width)
        return bound

    def specs(self, shape: Shape, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Return the inputs and the outputs of such networks: here, those of the shape, and one output in float32."""
        return specs_of(shape), (TensorSpec("output", (width,)),)

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

    @property
    def options(self) -> str:
        """Options that decide what is learned and are not at their defaults, as text; empty if there are none."""
        own = [one for one in fields(self) if one.repr and one.metadata.get("key", one.name) is not None]
        values = {one.name: getattr(self, one.name) for one in own}
        return ",".join(f"{one.name}={values[one.name]}" for one in own if values[one.name] != one.default)

    # --- units ---

    def fit(self, targets: Tensors) -> Self:
        """Return the task as it is after it has seen the training targets: here, as it is.

        A task that weights classes or normalises targets takes its numbers from them.
        """
        return self

    @property
    def target_facts(self) -> Mapping[str, Any]:
        """Numbers of `fit` without which outputs of a network cannot be read, JSON-ready: here, none."""
        return {}

    def to_unit(self, outputs: Tensors) -> Tensors:
        """Return a network's outputs in the user's unit, in which they are judged and exported: here, as they are."""
        return outputs

    def from_unit(self, outputs: Tensors) -> Tensors:
        """Return outputs in the user's unit as a network gives them, the inverse of `to_unit`."""
        return outputs

    def finished(self, module: nn.Module) -> nn.Module:
        """Return a network's module with `to_unit` in it, as it is exported: here, as it is."""
        return module

    # --- judging ---

    @property
    def quality(self) -> Quantity:
        """The metric that a search optimizes."""
        return next((metric for metric in self.metrics if metric.name == self.quality_metric), self.metrics[0])

    def quality_text(self, value: float) -> str:
        """Return a quality with its unit, such as `71.3%`."""
        unit = self.quality.unit
        return f"{value:.1%}" if unit == "fraction" else f"{value:.4g} {unit}".rstrip()

    @abstractmethod
    def statistics(self, outputs: Tensors, batch: Batch) -> Sums:
        """Return what metrics and their errors are computed from; outputs are in the user's unit."""

    @abstractmethod
    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        """Return the value of each metric, by name."""

    def standard_error(self, value: float, count: int) -> float | None:
        """Return the standard error of the quality where it follows from the value and the number of samples."""
        return None

    @abstractmethod
    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Compare outputs of an exported file with those of the network that it was made of, in the user's unit."""

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
        """Return (N,) numbers from 0 to 1 whose mean is the quality: here, its value plus its influence function.

        Raises:
            ConfigError: the quality is no mean of such numbers.
        """
        estimate = self.values(self.statistics(outputs, batch))[self.quality.name]
        rows = None if estimate.influence is None else estimate.value + estimate.influence
        if rows is None or rows.min(initial=0) < -_ROUNDING or rows.max(initial=0) > 1 + _ROUNDING:
            raise ConfigError(
                f"`{self.quality.name}` is no mean over samples of numbers from 0 to 1",
                where=f"task `{type(self).__name__}`",
                allowed="A cascade is judged sample by sample",
                do="Choose another `quality` of the task, or let the task return such numbers from `sample_scores`",
            )
        return np.asarray(rows.clip(0, 1), dtype=float)

    # --- data ---

    def fitted(self, inputs: Tensors, shape: Shape) -> Tensors:
        """Return inputs as a network takes them whose input has this shape: here, signals and images are resized."""

        def one(tensor: torch.Tensor, spec: TensorSpec) -> torch.Tensor:
            if spec.dtype != "float32":
                return tensor.to(getattr(torch, spec.dtype))
            return resized(tensor, spec.shape) if len(spec.shape) in RANKS else tensor

        if is_plain(shape):
            return resized(inputs, shape) if len(shape) in RANKS else inputs
        import torch

        if not isinstance(inputs, tuple):
            return one(inputs, shape[0])
        return tuple(map(one, inputs, shape))

    @property
    def augmentations(self) -> Mapping[str, Any]:
        """Random changes of inputs that keep their targets, by name; `none` changes nothing: those of the rank."""
        from hwnas.tasks.augmentation import augmentations_of

        rank = len(self.inputs[0].shape) if len(self.inputs) == 1 and self.inputs[0].dtype == "float32" else 0
        return augmentations_of(rank)

    def augment(self, inputs: Tensors, generator: torch.Generator, kind: str) -> Tensors:
        """Return inputs, each changed at random as the augmentation of that name says."""
        from hwnas.tasks.augmentation import augmented

        return augmented(inputs, generator, kind, self.augmentations)

    def as_targets(self, targets: Tensors, shape: Shape, *, where: str) -> Tensors:
        """Return targets (N, ...) of data as the loss takes them, for inputs of this shape: here, as they are.

        Raises:
            DataError: they are of another kind; `where` is their place.
        """
        return targets

    def class_count(self, targets: Tensors) -> int:
        """Return the number of classes that targets of data name, 0 where there are no classes: here, 0."""
        return 0

    def strata(self, targets: Tensors) -> torch.Tensor | None:
        """Return the number of the group that each sample is in, if every split needs its share of all groups."""
        return None

    def random_inputs(self, rng: np.random.Generator, batch: int) -> tuple[NDArray[Any], ...]:
        """Return finite inputs for timing, one array for each of `inputs`."""
        return tuple(random_tensor(spec, rng, batch) for spec in self.inputs)

    def random_targets(self, count: int, generator: torch.Generator) -> Tensors:
        """Return targets drawn at random, for proxies that look at no data: here, standard normal numbers."""
        import torch

        return torch.randn(count, *self.outputs[0].shape, generator=generator)

    def check_data(self, shape: Shape, width: int, *, where: str) -> None:
        """Refuse data whose inputs have this shape and whose targets are this wide, if they do not fit the networks.

        Raises:
            ConfigError: they do not.
        """
        wanted, output = self.inputs, self.outputs[0]
        specs = specs_of(shape)
        fits = len(specs) == len(wanted) and all(map(is_resizable, specs, wanted))
        if not fits or (len(self.outputs) == 1 and width != output.shape[0]):
            raise ConfigError(
                f"the data has inputs of shape {shape_text(shape)} and {width} targets, the space expects "
                f"{shape_text(shape_of(wanted))} and {output.shape[0]}",
                where=where,
                allowed="Data and space agree on shapes, and on `classes` or `outputs`",
                do="Change these and `input` of the space, or choose other data",
            )

    def check_network(self, output: Shape, *, where: str) -> None:
        """Refuse networks whose last operator gives another shape than the task takes.

        Raises:
            ConfigError: they do.
        """
        made, taken = specs_of(output), self.outputs
        if [spec.shape for spec in made] != [spec.shape for spec in taken]:
            raise ConfigError(
                f"the last operator gives {shape_text(shape_of(made))}, the task takes {shape_text(shape_of(taken))}",
                where=where,
                allowed=f"A network gives the {self.terms.outputs} that its task, `{type(self).__name__}`, learns",
                do="Name the task that is meant, end with another operator, or correct `specs` of a task of your own",
            )

    def check_one_input(self, *, where: str) -> None:
        """Refuse networks of several inputs or of whole numbers, for tasks whose targets are like the input.

        Raises:
            ConfigError: they take such.
        """
        if not is_plain(shape_of(self.inputs)):
            raise ConfigError(
                f"the networks take {shape_text(shape_of(self.inputs))}",
                where=where,
                allowed=f"`{type(self).__name__}` is learned of one float32 input",
                do="Change `input` of the space, or write a task of your own",
            )

    def check_targets(self, training: Tensors, validation: Tensors, *, where: str) -> None:
        """Refuse targets that networks cannot learn from, or on which the quality is undefined: here, none are.

        Raises:
            DataError: they are refused.
        """
        return


def check_width(targets: torch.Tensor, outputs: Shape, *, where: str) -> None:
    """Refuse targets that are not as many a sample as a network gives.

    Raises:
        DataError: they are more or fewer.
    """
    if targets.shape[1:] != outputs:
        own = shape_text(tuple(targets.shape[1:])) or "one"
        raise DataError(
            f"a sample has {own} targets, a network gives {shape_text(outputs)}",
            where=where,
            allowed="Data and space agree on the number of targets",
            do="Change `outputs` or `classes` of the space, or the targets",
        )


@lru_cache(maxsize=4096)
def _at(task: Any, shape: Shape, width: int) -> Any:
    inputs, outputs = task.specs(shape, width)
    return replace(task, inputs=inputs, outputs=outputs)


def _of_file(source: SourceFile, name: str, values: dict[str, Any]) -> Task:
    task: Task = getattr(load_source(source), name)(**values)
    return task
