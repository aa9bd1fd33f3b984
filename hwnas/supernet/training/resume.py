"""Resuming a training, or loading its result, from the checkpoints in a folder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hwnas.data import Dataset
from hwnas.errors import HwnasError, RunError
from hwnas.io.checkpoint_files import checkpoints
from hwnas.space import AnySpace
from hwnas.stored_names import TRAIN, stored
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.ema import EMA
from hwnas.supernet.training.epoch_state import EpochState
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.task import parts_of
from hwnas.supernet.weights import Supernet
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.options import code_of

LATER_FIELDS: Mapping[str, Any] = {"initial_weights": None, "layer_decay": 1.0}
"""Fields that trainings of before had not, with the values that change nothing; they are left out with these."""
NEUTRAL_FIELDS = ("processes", "launcher", "on_divergence", "checkpoint_every")
"""Fields of a recipe that do not decide the weights."""
Identity = dict[str, Any]
"""Identity of a training: of two trainings with unlike ones neither continues the other."""
Module = TypeVar("Module", bound=nn.Module)
Record = TypeVar("Record")


@dataclass(frozen=True)
class Epoch:
    """Results of one epoch; accuracies are of the validation split, after recalibration."""

    epoch: int
    loss: float
    smallest: float
    largest: float
    learning_rate: float
    seconds: float

    @classmethod
    def of(cls, content: dict[str, Any]) -> Epoch:
        """Return the record in the content of a checkpoint."""
        return cls(**content)


def identity_of(space: AnySpace, dataset: Dataset, recipe: Recipe, seed: int) -> Identity:
    """Return the identity that is kept in every checkpoint."""
    identity = {"space": space.name, "dataset": dataset.name, "seed": seed, "recipe": identity_dict(recipe)}
    network = getattr(getattr(space, "build", None), "identity", None)  # of a network that came with weights
    opened = {} if network is None else {"network": network}
    return {**identity, **task_identity(space.task, dataset), **opened}


def task_identity(task: Task, dataset: Dataset) -> Identity:
    """Return the part of an identity that tells what is learned; empty where that is the usual task."""
    named = {} if repr(task) == repr(DEFAULT_TASK) else {"task": f"{task!r} {code_of(task)}".rstrip()}
    facts = dataset.train.fit(task).target_facts
    return {**named, "targets": dict(facts)} if facts else named


def identity_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of a recipe that decide the weights: all but who computes, what is kept, and error handling; by
    their stored names.

    `accumulate` holds the number of parts that a batch is cut into, which may follow from the number of processes.
    """
    fields = stored({**asdict(recipe), "grad_accumulation_steps": parts_of(recipe)}, "train")
    usual = {name: value for name, value in LATER_FIELDS.items() if fields[name] == value}
    return {key: value for key, value in fields.items() if key not in NEUTRAL_FIELDS and key not in usual}


@dataclass
class State(Generic[Module, Record]):
    """All that training changes and a checkpoint holds."""

    module: Module
    optimizer: torch.optim.Optimizer
    average: EMA[Module] | None
    check: Callable[[dict[str, Any], Path], None]
    """Function that refuses the content of another training's checkpoint, read from a path."""
    identity: Identity
    read: Callable[[Any], Record]
    """Function that reads the record of an epoch from a checkpoint."""
    history: list[Record] = field(default_factory=list)
    halvings: int = 0
    """Number of times that the rate was halved because training diverged."""

    @property
    def used(self) -> Module:
        """Module whose weights are scored: the average's, if there is one."""
        return self.module if self.average is None else self.average.module

    @property
    def twins(self) -> tuple[Module, ...]:
        """Supernets that must be sorted as the supernet is."""
        return () if self.average is None else (self.average.module,)

    def settle(self) -> None:
        """Give the module the weights that are used."""
        if self.average is not None:
            self.module.load_state_dict(self.average.module.state_dict())

    def content(self) -> dict[str, Any]:
        """Return the content of a checkpoint; `average` and `halvings` only where there are any."""
        content = {
            "identity": self.identity,
            "weights": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [asdict(record) if isinstance(record, Epoch) else record for record in self.history],
        }
        if self.average is not None:
            content["average"] = self.average.module.state_dict()
        return {**content, "halvings": self.halvings} if self.halvings else content

    def copied(self) -> dict[str, Any]:
        """Return a copy of the content, to be restored later."""
        return copy.deepcopy(self.content())

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the state from the content of a checkpoint.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: it is that of another training.
        """
        self.module.load_state_dict(content["weights"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:
            self.average.module.load_state_dict(content["average"])
        self.history[:] = [self.read(record) for record in content["history"]]
        self.halvings = content.get("halvings", 0)


def load_trained(supernet: Supernet, folder: Path, identity: Identity | None = None) -> tuple[list[Epoch], Path]:
    """Fill a supernet from the last checkpoint of a folder; return its history and the file.

    If the checkpoint has a moving average, the supernet gets the average.

    Raises:
        RunError: there is none, it is damaged, it does not fit the supernet, or it is of another training than
            `identity` says.
    """
    paths = checkpoints(folder)
    if not paths:
        raise RunError(
            "there is no checkpoint",
            where=str(folder),
            allowed="A supernet is trained before it is searched",
            do="Run `hwnas train EXPERIMENT` first",
        )
    content = checkpoint.load(paths[-1])
    check_supernet(supernet, identity, content, paths[-1])
    with fitting(paths[-1]):
        supernet.load_state_dict(content.get("average", content["weights"]))
        return [Epoch.of(record) for record in content["history"]], paths[-1]


@dataclass(frozen=True)
class MidEpochCheckpoint:
    """Position within an epoch where training stopped, and the state at its beginning if it may be repeated."""

    position: EpochState
    begun: dict[str, Any] | None


def resume(folder: Path, state: State[Any, Any]) -> MidEpochCheckpoint | None:
    """Resume training from the checkpoints of a folder, if any; return the position if it is within an epoch.

    Raises:
        RunError: the last one is damaged, does not fit the module, or is of another training.
    """
    if paths := checkpoints(folder):
        content = checkpoint.load(paths[-1])
        state.check(content, paths[-1])
        with fitting(paths[-1]):
            state.restore(content)
    path = checkpoint.within(folder)
    if not path.exists():
        return None
    content = checkpoint.load(path)
    state.check(content, path)
    if content["epoch"] != len(state.history) + 1:
        return None  # that epoch was ended since
    with fitting(path):
        state.restore(content)
        return MidEpochCheckpoint(EpochState.of(content["position"]), content.get("begun"))


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn the errors of content that does not fit into one that names the checkpoint.

    Raises:
        RunError: the content of the checkpoint does not fit.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, HwnasError):
            raise
        raise checkpoint.unusable(path, "the checkpoint does not fit what is trained") from error


def save_mid_epoch(
    folder: Path, state: State[Any, Any], position: EpochState, begun: dict[str, Any] | None = None
) -> None:
    """Write the position of training within an epoch, and the state at its beginning if it may be repeated."""
    content = {**state.content(), "position": position.content(), "begun": begun}
    checkpoint.save_within(folder, len(state.history) + 1, content)


def check_supernet(supernet: Supernet, identity: Identity | None, content: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose weights do not fit the supernet, or of another training than `identity` says.

    Raises:
        RunError: it names what differs.
    """
    if identity is not None:
        _check_identity(content["identity"], identity, path)
    _check_fits(supernet, content["weights"], path)


def differences(was: Identity, now: Identity, path: Path) -> list[str]:
    """Return in what two trainings differ; the first one is read from a path.

    Raises:
        RunError: it is no identity.
    """
    with fitting(path):
        begun = {**identity_dict(Recipe()), **was["recipe"]}  # what an earlier hwnas did not know is off by default
        return [
            f"{name}: {before!r} then, {after!r} now"
            for name, before, after in [
                *((key, was[key], now[key]) for key in ("space", "dataset", "seed")),
                *((key, was.get(key), now.get(key)) for key in ("task", "targets", "network", "published")),
                *((f"train.{TRAIN.get(key, key)}", begun[key], value) for key, value in now["recipe"].items()),
            ]
            if before != after
        ]


def _check_identity(was: Identity, now: Identity, path: Path) -> None:
    if changed := differences(was, now, path):
        raise RunError(
            f"training was begun differently ({'; '.join(changed)})",
            where=str(path),
            allowed="A training is resumed, and its supernet used, with the settings that it was begun with",
            do="Restore them, give the experiment a new `name`, or delete the checkpoints",
        )


def _check_fits(supernet: Supernet, weights: dict[str, Tensor], path: Path) -> None:
    own = supernet.state_dict()
    then, now = ({name: list(value.shape) for name, value in state.items()} for state in (weights, own))
    names = sorted({*then, *now})
    unlike = [name for name in names if then.get(name) != now.get(name)]
    if unlike:
        sizes = [shapes.get(unlike[0], "missing") for shapes in (then, now)]
        raise RunError(
            f"{len(unlike)} of {len(names)} weights do not fit space `{supernet.space_name}`, first `{unlike[0]}`: "
            f"{sizes[0]} then, {sizes[1]} now",
            where=str(path),
            allowed="A supernet is of the space that it was trained for",
            do="Restore the space, give the experiment a new `name`, or delete the checkpoints to train again",
        )
