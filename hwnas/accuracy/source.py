"""Common parts of all sources of accuracy: the facts about one, what it may use of a run, what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import Network
from hwnas.quantities import Quantity
from hwnas.quantities.quantity import Goal
from hwnas.space import AnySpace, Architecture
from hwnas.tabular.metric import Join, Scale
from hwnas.tabular.rows import Names
from hwnas.tasks import Task

if TYPE_CHECKING:
    from torch import nn

    from hwnas.data import Dataset
    from hwnas.supernet import Recipe, Supernet

Kind = Literal["quality", "score"]
"""A `quality` is a metric of the task, of images the top-1 accuracy, 0 to 1; of a `score` only the order counts:
higher is better."""
Origin = Literal["measured", "predicted", "published", "scored", "given"]


@dataclass(frozen=True)
class AccuracySource:
    """Source of accuracy, as far as it is known before it is imported."""

    make: str
    """"module:function": AccuracyContext -> Accuracy."""
    kind: Kind
    origin: Origin
    """Mark of its scores wherever they are shown."""
    description: str
    """Short text beside a plot, such as `validation {samples}, inherited weights`, with the task's word for samples."""
    supernet: bool = False
    """True if it needs trained shared weights; a run without them trains nothing."""
    data: bool = True
    """True if it needs data."""
    opened: bool = False
    """True if it needs a trained network of the user's as the space."""

    metric: str = ""
    """Name of the task's metric that a `quality` is; the task's own quality if left out."""

    def quantity(self, task: Task) -> str:
        """Return the quantity that it gives of networks that learn a task, such as `top1`; it precedes the `@`."""
        return self._metric(task).name if self.kind == "quality" else "score"

    def goal(self, task: Task) -> Goal:
        """Return whether networks with more of it are better, or those with less."""
        return self._metric(task).goal if self.kind == "quality" else "max"

    def meaning(self, task: Task) -> str:
        """Return its description in the task's words."""
        return self.description.replace("{samples}", task.terms.samples)

    def giving(self, quantity: str, task: Task, *, where: str) -> AccuracySource:
        """Return the source of what a user's function returns: `score`, or a metric of the task.

        Raises:
            ConfigError: the task has no such metric.
        """
        if quantity == "score":
            return replace(self, kind="score")
        names = [metric.name for metric in task.metrics]
        if quantity not in names:
            raise ConfigError(
                f"`{quantity}` is no metric of the task",
                where=where,
                allowed=did_you_mean(quantity, ["score", *names]),
                do="Name one of the task's metrics, or `score`, of which only the order counts",
            )
        return replace(self, kind="quality", metric=quantity)

    def _metric(self, task: Task) -> Quantity:
        return next((metric for metric in task.metrics if metric.name == self.metric), task.quality)


class Accuracy(Protocol):
    """Scores architectures, high is good unless the task says otherwise. The same architecture always gets the same
    score; one that cannot be scored raises with its reason."""

    @property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""

    def __call__(self, architecture: Architecture) -> float: ...


@dataclass(frozen=True)
class Settings:
    """The experiment's `accuracy` section; each source reads what concerns it."""

    source: str = "inherited"
    quantity: str | None = None
    samples: int | None = None
    calibration_batches: int = 8
    batch_size: int = 128
    epochs: int | None = None
    file: str = ""
    column: str = ""
    key: str | None = None
    scale: Scale = "fraction"
    rows: Join = "mean"


@dataclass(frozen=True)
class AccuracyContext:
    """Parts of a run that a source may use. The expensive ones are functions, called by sources that need them."""

    space: AnySpace
    lower: Callable[[Architecture], Network]
    settings: Settings
    seed: int
    base: Path
    """Folder in which relative paths begin, beside the current one."""
    folder: Path
    """Folder of the run, for caches."""
    device: Callable[[], str]
    """Device on which PyTorch computes."""
    has_data: bool
    """True if the experiment names data."""
    dataset: Callable[[], Dataset]
    """Data set without its test samples."""
    recipe: Callable[[], Recipe]
    """Recipe by which the supernet is trained."""
    names: Names
    """Reader of the architectures that files name."""
    supernet: Callable[[], tuple[Supernet, str]]
    """Trained supernet, with the identifier of its weights."""
    teacher: Callable[[], nn.Module | None] = lambda: None
    """Function that returns the network that the recipe names as a teacher, None if it names none."""
    keep_weights: bool = False
    """True if weights of networks that are trained to be scored are kept afterwards."""
