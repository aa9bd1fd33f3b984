"""What all sources of accuracy have in common: the facts of one, what it may take of a run, what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from hwnas.network import Network
from hwnas.space import AnySpace, Architecture
from hwnas.tabular.metric import Join, Scale
from hwnas.tabular.rows import Names

if TYPE_CHECKING:
    from torch import nn

    from hwnas.data import Dataset
    from hwnas.supernet import Recipe, Supernet

Quantity = Literal["top1", "score"]
"""`top1` is an accuracy, 0 to 1; of a `score` only the order counts: higher is better."""
Origin = Literal["measured", "predicted", "published", "scored", "given"]


@dataclass(frozen=True)
class AccuracySource:
    """A source of accuracy, as much as is known of it before it is imported."""

    make: str
    """"module:function": Ingredients -> Accuracy."""
    quantity: Quantity
    origin: Origin
    """How its scores are marked wherever they are shown."""
    description: str
    """A few words beside a plot, such as `validation images, inherited weights`."""
    supernet: bool = False
    """Whether it needs trained shared weights; a run without them trains nothing."""
    data: bool = True
    """Whether it cannot do without images."""


class Accuracy(Protocol):
    """Scores architectures, high is good. The same architecture always gets the same score; one that cannot be scored
    raises with its reason."""

    @property
    def producer(self) -> str:
        """What a stored score was made by: equal producers give equal scores."""

    def __call__(self, architecture: Architecture) -> float: ...


@dataclass(frozen=True)
class Settings:
    """The experiment's `accuracy` section; each source reads what concerns it."""

    source: str = "inherited"
    quantity: Quantity | None = None
    images: int | None = None
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
    """What a source may take of a run. What is dear to get is a function, called by those that need it."""

    space: AnySpace
    lower: Callable[[Architecture], Network]
    settings: Settings
    seed: int
    base: Path
    """Where relative paths begin, beside the current folder."""
    folder: Path
    """The run's own, for caches."""
    device: Callable[[], str]
    """Where PyTorch computes."""
    images: bool
    """Whether the experiment names data."""
    dataset: Callable[[], Dataset]
    """Without its test images."""
    recipe: Callable[[], Recipe]
    """How the supernet is trained."""
    names: Names
    """Reads the architectures that files name."""
    supernet: Callable[[], tuple[Supernet, str]]
    """Trained, with what identifies its weights."""
    teacher: Callable[[], nn.Module | None] = lambda: None
    """The network that the recipe names as a teacher, if it names one."""
    keep_weights: bool = False
    """Whether weights of networks that are trained to be scored are kept afterwards."""
