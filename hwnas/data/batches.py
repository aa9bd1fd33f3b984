"""Batches of a split, shuffled and augmented by a generator that the caller owns."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hwnas.data.dataset import Split
from hwnas.errors import ConfigError
from hwnas.tasks import DEFAULT_TASK, Batch, Task


def batches(
    split: Split,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    augment: str = "none",
    task: Task = DEFAULT_TASK,
    drop_last: bool = False,
    after: tuple[int, Tensor] | None = None,
) -> Iterator[Batch]:
    """Yield the batches of a split once; shuffled, and augmented as the task does, if there is a generator.

    `after` goes on where an earlier pass stopped, with a generator of the same seed: how many batches were taken, and
    the state that the generator had then.

    Raises:
        ConfigError: an unknown augmentation, or one without a generator to draw from; at the first batch.
    """
    if augment != "none" and generator is None:
        raise ConfigError(
            f"augmentation `{augment}` has no generator to draw from",
            where="batches",
            allowed="Chance is an argument",
            do="Pass `generator`, or augment nothing",
        )
    count = len(split)
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    if after is not None and generator is not None:
        order = order[after[0] * batch_size :]
        generator.set_state(after[1])
    for indices in torch.split(order, batch_size):
        if drop_last and len(indices) < batch_size:
            return
        inputs = split.batch(indices)
        changed = inputs if generator is None else task.augment(inputs, generator, augment)
        yield Batch(changed, split.targets[indices])
