"""Taking up a training, or its result, from the checkpoints in a folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.data import Dataset
from hwnas.errors import RunError
from hwnas.space import AnySpace
from hwnas.supernet import checkpoint
from hwnas.supernet.recipe import Recipe
from hwnas.supernet.weights import Supernet

Identity = dict[str, Any]
"""What a training is: of two unlike ones neither continues the other."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; accuracies are of the validation split, after recalibration."""

    epoch: int
    loss: float
    smallest: float
    largest: float
    learning_rate: float
    seconds: float


def identity_of(space: AnySpace, dataset: Dataset, recipe: Recipe, seed: int) -> Identity:
    """The identity that is kept in every checkpoint."""
    return {"space": space.name, "dataset": dataset.name, "seed": seed, "recipe": asdict(recipe)}


def load_trained(supernet: Supernet, folder: Path, identity: Identity | None = None) -> tuple[list[Epoch], Path]:
    """Fill a supernet from the last checkpoint of a folder; its history and the file.

    Raises:
        RunError: there is none, it is damaged, it does not fit the supernet, or it is of another training than
            `identity` says.
    """
    found = checkpoint.checkpoints(folder)
    if not found:
        raise RunError(
            "there is no checkpoint",
            where=str(folder),
            allowed="A supernet is trained before it is searched",
            do="Run `hwnas train EXPERIMENT` first",
        )
    return _taken_up(supernet, found[-1], identity)[0], found[-1]


def resume(folder: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, identity: Identity) -> list[Epoch]:
    """Fill a supernet and its optimizer from the last checkpoint of a folder, if there is one; the epochs so far.

    Raises:
        RunError: it is damaged, does not fit the supernet, or is of another training.
    """
    found = checkpoint.checkpoints(folder)
    if not found:
        return []
    history, state = _taken_up(supernet, found[-1], identity)
    optimizer.load_state_dict(state)
    return history


def _taken_up(supernet: Supernet, path: Path, identity: Identity | None) -> tuple[list[Epoch], dict[str, Any]]:
    content = checkpoint.load(path)
    if identity is not None:
        _check_identity(content["identity"], identity, path)
    _fill(supernet, content["weights"], path)
    return [Epoch(**record) for record in content["history"]], content["optimizer"]


def _check_identity(was: Identity, now: Identity, path: Path) -> None:
    begun = {**asdict(Recipe()), **was["recipe"]}  # what an earlier hwnas did not know is off by default
    changed = [
        f"{name}: {before!r} then, {after!r} now"
        for name, before, after in [
            *((key, was[key], now[key]) for key in ("space", "dataset", "seed")),
            *((f"train.{key}", begun[key], value) for key, value in now["recipe"].items()),
        ]
        if before != after
    ]
    if changed:
        raise RunError(
            f"training was begun differently ({'; '.join(changed)})",
            where=str(path),
            allowed="A training is resumed, and its supernet used, with the settings that it was begun with",
            do="Restore them, give the experiment a new `name`, or delete the checkpoints",
        )


def _fill(supernet: Supernet, weights: dict[str, Tensor], path: Path) -> None:
    """Take over a checkpoint's weights if each has its place."""
    own = supernet.state_dict()
    then, now = ({name: list(value.shape) for name, value in held.items()} for held in (weights, own))
    names = sorted({*then, *now})
    unlike = [name for name in names if then.get(name) != now.get(name)]
    if unlike:
        sizes = [held.get(unlike[0], "missing") for held in (then, now)]
        raise RunError(
            f"{len(unlike)} of {len(names)} weights do not fit space `{supernet.space_name}`, first `{unlike[0]}`: "
            f"{sizes[0]} then, {sizes[1]} now",
            where=str(path),
            allowed="A supernet is of the space that it was trained for",
            do="Restore the space, give the experiment a new `name`, or delete the checkpoints to train again",
        )
    supernet.load_state_dict(weights)
