"""One epoch of training: batches through the steps, rates from the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from hwnas.data.batches import batches
from hwnas.supernet.strategies import Step
from hwnas.supernet.training.epoch_state import EpochCursor, EpochState
from hwnas.supernet.training.schedules import learning_rate
from hwnas.supernet.training.step import take_step
from hwnas.supernet.training.task import TrainTask
from hwnas.tasks import Batch


@dataclass(frozen=True)
class Passed:
    """A finished epoch."""

    loss: float
    """The mean of its steps."""
    seconds: float


def run_epoch(
    training_task: TrainTask,
    epoch: int,
    seed: int,
    *,
    slower: float = 1.0,
    after: EpochState | None = None,
    keep: Callable[[EpochState], None] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Passed:
    """Train one epoch, all randomness from `seed`, at `slower` times the recipe's rates.

    Args:
        after: position of an earlier process, whose weights the module has; the epoch goes on there.
        keep: called with the position in training every `checkpoint_every` steps.

    Raises:
        FloatingPointError: something is not finite; names the step and what it was.
    """
    recipe, steps = training_task.recipe, training_task.steps
    walk = EpochCursor.begin(seed, training_task.failures)
    if after is not None:
        walk.seek(after)
    device = next(training_task.module.parameters()).device
    training_task.module.train()
    at = Step(epoch, recipe.epochs, walk.steps, steps, walk.loss)
    loaded = batches(
        training_task.split,
        recipe.batch_size,
        generator=walk.generator,
        augment=recipe.augment,
        task=training_task.task,
        drop_last=True,
        after=None if after is None else (after.step, after.drawn),
    )
    for number, batch in enumerate(loaded, walk.steps + 1):
        for group in training_task.optimizer.param_groups:
            rate = slower * learning_rate(recipe, (epoch - 1) + (number - 1) / steps)
            group["lr"] = rate * group.get("lr_scale", 1.0)
        batch = _placed(batch, device, channels_last=recipe.channels_last)
        subnets = training_task.subnets(replace(at, step=number), walk.rng)
        try:
            walk.note(take_step(training_task, subnets, batch, seed, number))
        except FloatingPointError as error:
            raise FloatingPointError(f"step {number}: {error}") from error
        if training_task.average is not None:
            training_task.average.update(training_task.module, (epoch - 1) * steps + number)
        at = replace(at, step=number, loss=walk.loss)
        if keep is not None and recipe.checkpoint_every and number % recipe.checkpoint_every == 0 and number < steps:
            _check_weights(training_task, number)
            keep(walk.position())
        if on_step:
            on_step(at)
    _check_weights(training_task, steps)
    return Passed(at.loss, walk.seconds)


def _placed(batch: Batch, device: torch.device, *, channels_last: bool) -> Batch:
    """Return a batch on a device, its inputs contiguous; with `channels_last` those of four axes lie in that order."""

    def placed(tensor: Tensor) -> Tensor:
        layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.contiguous_format
        return tensor.to(device, non_blocking=True).contiguous(memory_format=layout)

    return Batch(tree_map(placed, batch.inputs), tree_map(lambda t: t.to(device, non_blocking=True), batch.targets))


def _check_weights(training_task: TrainTask, step: int) -> None:
    broken = (name for name, value in training_task.module.named_parameters() if not value.isfinite().all())
    if first := next(broken, None):
        raise FloatingPointError(f"step {step}: it left weights `{first}` that are not finite")
