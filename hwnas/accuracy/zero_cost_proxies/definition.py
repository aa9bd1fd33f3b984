"""Definition of a training-free proxy: a function of an untrained network, and the conditions of its evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor, nn

from hwnas.network import Network
from hwnas.tasks import Batch


@final
@dataclass(frozen=True, eq=False)
class ProxyInput:
    """Untrained network under the conditions of a definition. Changes to its module are seen by nobody else."""

    network: Network
    make: Callable[[], nn.Module]
    """Maker of the module, in the definition's mode, dtype and initialisation: the same numbers at every call."""
    inputs: Tensor
    """(batch, ...), of images (batch, channels, height, width), normalised; from the normal distribution where no data
    is used."""
    targets: Tensor
    """(batch, ...), labels (batch,) int64; drawn at random where the inputs are noise."""
    generator: torch.Generator
    """For whatever else the definition draws, on the CPU. PyTorch's global generator is seeded and put back as well."""

    @cached_property
    def module(self) -> nn.Module:
        """Module of the network, built when it is first used."""
        return self.make()

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's loss of the module."""
        return self.network.task.loss(self.module(inputs), Batch(inputs, targets))


@final
@dataclass(frozen=True)
class Definition:
    """A training-free proxy. More is better, as far as accuracy goes."""

    measure: Callable[[ProxyInput], float]
    """NaN, infinity and errors of arithmetic become a `NoScore`."""
    batch: int
    """Images at once; 0 if the definition looks at none."""
    data: bool = False
    """True if it looks at real images where there are some; else they are noise, and the definition may put others."""
    labels: bool = False
    """True if it is defined by the cross-entropy of labels: tasks without labels are refused."""
    mode: Literal["train", "eval"] = "train"
    initialization: str = "pytorch"
    """A name in `INITIALIZATIONS`; `pytorch` leaves weights as the module is built."""
    dtype: Literal["float32", "float64"] = "float32"
    resolution: int | None = None
    """Height and width of the images; None is the network's own."""
    repeats: int = 1
    """Number of seeds; the score is the mean over them."""
    draws: bool = True
    """True if the score depends on random numbers: weights, images or labels."""
    refuses: Callable[[nn.Module], str | None] | None = None
    """Function that returns the reason why the definition means nothing for a module; None if it does not."""
    version: int = 1
    """Number that is increased when the score of a network changes, so that stored ones are not mixed with new ones."""
