"""Training of a supernet, resumable at every epoch and, with `checkpoint_every`, within one."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from hwnas.data import Dataset
from hwnas.errors import ConfigError, TrainingError
from hwnas.io.checkpoint_files import checkpoints
from hwnas.network import lower
from hwnas.space import AnySpace
from hwnas.supernet.batchnorm import calibration_inputs, extract_recalibrated, quality
from hwnas.supernet.process_group import SINGLE_PROCESS, ProcessGroup
from hwnas.supernet.slicing.channel_groups import elastic_groups
from hwnas.supernet.slicing.channel_sorting import Sorting, sort_channels
from hwnas.supernet.strategies import SampledSubnet, Step, Strategy, open_strategy
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.ema import EMA
from hwnas.supernet.training.epoch import Passed, run_epoch
from hwnas.supernet.training.epoch_state import EpochState
from hwnas.supernet.training.recipe import Recipe, epoch_seed, make_optimizer
from hwnas.supernet.training.resume import (
    Epoch,
    MidEpochCheckpoint,
    State,
    check_supernet,
    identity_of,
    resume,
    save_mid_epoch,
)
from hwnas.supernet.training.skipped import SkippedSubnets, read_failures
from hwnas.supernet.training.task import ActiveSubnet, TrainTask, check_recipe
from hwnas.supernet.weights import Supernet
from hwnas.tasks import Tensors

HALVINGS = 8
"""Most times that `on_divergence: halve_lr` halves the rate; a training that still diverges is stopped."""


def train(
    supernet: Supernet,
    space: AnySpace,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    teacher: nn.Module | None = None,
    base: Path = Path(),
    team: ProcessGroup = SINGLE_PROCESS,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_sort: Callable[[int, Sorting], None] | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> list[Epoch]:
    """Train in place and return the epochs' records; a folder with checkpoints is continued from the last one.

    All that is drawn in an epoch (order, augmentation, architectures, dropout) follows from the seed and the epoch's
    number, so an interrupted and resumed training gives the same weights as an uninterrupted one; with
    `checkpoint_every` it goes on within an epoch. With a moving average the supernet holds it in the end.

    Args:
        teacher: the network that the recipe names.
        base: folder where the path of a user's strategy begins.
        team: the processes that train together; this one writes and reports progress if it is the first.
        on_sort: called with the epoch before which channels were sorted, and with the sorting.
        on_trouble: called with one line on each thing that was left out or repeated.

    Raises:
        TrainingError: a loss, a gradient or a weight is not finite; the checkpoints so far stay as they are.
        RunError: the checkpoints were made by another recipe, space or seed, or the last one is damaged.
    """
    check_recipe(recipe, dataset.train, teacher)
    _check(supernet, recipe)
    failed = folder / "failed.jsonl" if team.is_main else None
    failures = SkippedSubnets(failed, on_trouble, set(read_failures(failed)) if failed else set())
    average = EMA(supernet, recipe.ema_decay) if recipe.ema_decay else None
    decaying = None if recipe.regularize == "all" else supernet.names_of(lower(space, space.largest()))
    training_task = TrainTask(
        module=supernet,
        split=dataset.train,
        recipe=recipe,
        optimizer=make_optimizer(supernet, recipe, decaying=decaying),
        subnets=_pupils(supernet, space, recipe, open_strategy(space, recipe, base=base)),
        task=dataset.train.fit(lower(space, space.largest()).task),
        teacher=None if teacher is None else teacher.to(next(supernet.parameters()).device).eval(),
        average=average,
        team=team,
        failures=failures,
    )
    identity = identity_of(space, dataset, recipe, seed)
    check = partial(check_supernet, supernet, identity)
    state = State(supernet, training_task.optimizer, average, check, identity, Epoch.of)
    midway = resume(folder, state)
    calibration = calibration_inputs(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    for epoch in range(len(state.history) + 1, recipe.epochs + 1):
        if midway is None and epoch in recipe.sort_channels_at:
            sorting = sort_channels(supernet, elastic_groups(space), training_task.optimizer, twins=state.twins)
            if on_sort:
                on_sort(epoch, sorting)
        passed, midway = _epoch(training_task, state, epoch, seed, folder, midway, on_step), None
        if team.is_main:
            state.history.append(_scored(state, space, dataset, calibration, epoch, passed))
            checkpoint.save(folder, epoch, state.content())
        team.barrier()
        if on_epoch and team.is_main:
            on_epoch(state.history[-1])
    state.settle()
    return state.history


def _check(supernet: Supernet, recipe: Recipe) -> None:
    if supernet.kernel_transform != recipe.kernel_transform:
        raise ConfigError(
            f"the recipe says `kernel_transform={recipe.kernel_transform}`, the supernet was made with "
            f"`kernel_transform={supernet.kernel_transform}`",
            where="train",
            allowed="A supernet has matrices for its kernels, or it has none",
            do="Give both the same value",
        )
    if never := [epoch for epoch in recipe.sort_channels_at if not 2 <= epoch <= recipe.epochs]:
        raise ConfigError(
            f"channels are to be sorted at epoch {never[0]} of {recipe.epochs}",
            where="train: sort_channels_at",
            allowed="An epoch from 2 to the last: before the first one the weights are chance",
            do="Correct the epoch",
        )


def _pupils(
    supernet: Supernet, space: AnySpace, recipe: Recipe, strategy: Strategy
) -> Callable[[Step, random.Random], Sequence[ActiveSubnet]]:
    """Return the strategy's lessons, each run on slices of the shared weights."""

    def subnet(lesson: SampledSubnet) -> ActiveSubnet:
        dropout = recipe.regularize == "all" or lesson.teacher is None

        def run(inputs: Tensors) -> Tensors:
            return supernet(inputs, lower(space, lesson.architecture), dropout=dropout)

        return ActiveSubnet(run, lesson.architecture, lesson.teacher)

    return lambda step, rng: [subnet(lesson) for lesson in strategy(step, rng)]


def _epoch(
    training_task: TrainTask,
    state: State[Supernet, Epoch],
    epoch: int,
    seed: int,
    folder: Path,
    midway: MidEpochCheckpoint | None,
    on_step: Callable[[Step], None] | None,
) -> Passed:
    """Train one epoch, repeated at half the rate if it diverges and the recipe says so."""
    halves, after = training_task.recipe.on_divergence == "halve_lr", None if midway is None else midway.position
    begun = (state.copied() if midway is None else midway.begun) if halves else None

    def keep(position: EpochState) -> None:
        if training_task.team.is_main:
            save_mid_epoch(folder, state, position, begun)

    while True:
        try:
            with torch.random.fork_rng():
                return run_epoch(
                    training_task,
                    epoch,
                    epoch_seed(seed, epoch),
                    slower=0.5**state.halvings,
                    after=after,
                    keep=keep,
                    on_step=on_step,
                )
        except FloatingPointError as error:
            if training_task.team.is_main:
                checkpoint.forget_within(folder)  # it leads here again
            if begun is None or state.halvings == HALVINGS:
                raise _diverged(error, epoch, folder, state.halvings) from error
            halvings, after = state.halvings + 1, None
            state.restore(copy.deepcopy(begun))
            state.halvings = halvings
            if training_task.failures.tell:
                again = f"it begins again at {0.5**state.halvings:g} times the learning rate"
                training_task.failures.tell(f"training diverged in epoch {epoch}, {error}; {again}")


def _diverged(error: FloatingPointError, epoch: int, folder: Path, halvings: int) -> TrainingError:
    last = checkpoints(folder)
    often = f", after the rate was halved {halvings} times" if halvings else ""
    return TrainingError(
        f"training diverged in epoch {epoch}, {error}{often}",
        where="train",
        allowed=f"Last good checkpoint: {last[-1] if last else 'none, it was the first epoch'}",
        do="Lower train.learning_rate or lengthen train.warm_up_epochs, in an experiment of a new name"
        if halvings
        else "Set `train.on_divergence: halve_lr` and run the command again, or lower train.learning_rate or lengthen "
        "train.warm_up_epochs in an experiment of a new name",
    )


def _scored(
    state: State[Supernet, Epoch],
    space: AnySpace,
    dataset: Dataset,
    calibration: list[Tensor],
    epoch: int,
    passed: Passed,
) -> Epoch:
    """Return the results of an epoch; the two qualities are of the weights that will be used."""
    smallest, largest = (
        quality(extract_recalibrated(state.used, network, calibration), network, dataset.validation)
        for network in (lower(space, space.smallest()), lower(space, space.largest()))
    )
    rate = state.optimizer.param_groups[0]["lr"]
    return Epoch(epoch, passed.loss, smallest, largest, rate, passed.seconds)
