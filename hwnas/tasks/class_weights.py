"""Weights of classes in a loss: as a user gives them, or so that rare classes count as much as frequent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hwnas.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

ClassWeights = Literal["none", "balanced"] | tuple[float, ...]
"""`balanced` weights each class by the inverse of its share of the training targets; a list has one number a class."""


def checked_weights(weights: ClassWeights) -> None:
    """Refuse weights that are negative or all 0.

    Raises:
        ConfigError: they are.
    """
    if isinstance(weights, tuple) and (min(weights, default=0) < 0 or not sum(weights)):
        raise ConfigError(
            f"`class_weights` is {list(weights)}",
            where="task",
            allowed="Weights are 0 or more, one for each class, and not all of them are 0",
            do="Correct the list, or write `balanced`",
        )


def weights_of(weights: ClassWeights, targets: Tensor, classes: int) -> tuple[float, ...]:
    """Return the weight of each class, of mean 1 over these training targets; empty for `none`.

    Raises:
        ConfigError: the list has another length than there are classes.
        DataError: `balanced` is asked for, and a class has no target.
    """
    import torch

    if weights == "none":
        return ()
    counts = torch.bincount(targets[(targets >= 0) & (targets < classes)].flatten(), minlength=classes).double()
    if isinstance(weights, tuple) and len(weights) != classes:
        raise ConfigError(
            f"`class_weights` has {len(weights)} numbers for {classes} classes",
            where="task",
            allowed="A list of weights has one number for each class, in the order of the labels",
            do="Correct the list, or write `balanced`",
        )
    if weights == "balanced" and (missing := torch.nonzero(counts == 0).flatten().tolist()):
        raise DataError(
            f"label {missing[0]} of {classes} is not among the training targets",
            where="task: `class_weights: balanced`",
            allowed="Weights are balanced by the shares of the classes, each of which has one sample or more",
            do="Add samples of that class, or give the weights as a list",
        )
    raw = torch.tensor(weights).double() if isinstance(weights, tuple) else 1 / counts
    return tuple((raw * counts.sum() / (raw * counts).sum()).tolist())
