"""Training of a supernet: sandwich rule and in-place distillation, resumable at every epoch."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.data import Dataset, batches
from hwnas.errors import ConfigError, TrainingError
from hwnas.network import lower
from hwnas.space import AnySpace, Architecture
from hwnas.supernet import checkpoint
from hwnas.supernet.channels import elastic_groups
from hwnas.supernet.recipe import Recipe, epoch_seed, learning_rate, make_optimizer
from hwnas.supernet.resume import Epoch, identity_of, resume
from hwnas.supernet.sorting import Sorting, sort_channels
from hwnas.supernet.statistics import accuracy, calibration_images, settled
from hwnas.supernet.weights import Supernet


@dataclass(frozen=True)
class Step:
    """Where training is: epoch and step count from 1."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


def sandwich(space: AnySpace, rng: random.Random, middles: int) -> list[Architecture]:
    """Largest, smallest, then random architectures (Yu et al., BigNAS, 2020)."""
    return [space.largest(), space.smallest(), *(space.random(rng) for _ in range(middles))]


def _drawn(space: AnySpace, rng: random.Random, recipe: Recipe, epoch: int) -> list[Architecture]:
    """What a step of an epoch trains."""
    return [space.largest()] if epoch <= recipe.largest_epochs else sandwich(space, rng, recipe.middles)


def train(
    supernet: Supernet,
    space: AnySpace,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_sort: Callable[[int, Sorting], None] | None = None,
) -> list[Epoch]:
    """Train in place and return the epochs' records; a folder with checkpoints is continued from the last one.

    All that is drawn in an epoch (order, augmentation, architectures, dropout) follows from the seed and the epoch's
    number, so an interrupted and resumed training gives the same weights as an uninterrupted one. `on_sort` is told
    the epoch before which channels were sorted, and which.

    Raises:
        TrainingError: a loss, a gradient or a weight is not finite; the checkpoints so far stay as they are.
        RunError: the checkpoints were made by another recipe, space or seed, or the last one is damaged.
    """
    steps = _steps(dataset, recipe)
    _check(supernet, recipe)
    optimizer = make_optimizer(supernet, recipe)
    identity = identity_of(space, dataset, recipe, seed)
    history = resume(folder, supernet, optimizer, identity)
    calibration = calibration_images(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        start, begin = time.monotonic(), Step(epoch, recipe.epochs, 0, steps, 0.0)
        if epoch in recipe.sort_channels_at:
            sorting = sort_channels(supernet, elastic_groups(space), optimizer)
            if on_sort:
                on_sort(epoch, sorting)
        try:
            with torch.random.fork_rng():
                loss = _epoch(supernet, space, dataset, recipe, optimizer, begin, epoch_seed(seed, epoch), on_step)
        except FloatingPointError as error:
            raise _diverged(error, epoch, folder) from error
        smallest, largest = (
            accuracy(settled(supernet, network, calibration), network, dataset.validation)
            for network in (lower(space, space.smallest()), lower(space, space.largest()))
        )
        rate = optimizer.param_groups[0]["lr"]
        history.append(Epoch(epoch, loss, smallest, largest, rate, time.monotonic() - start))
        content = {"identity": identity, "weights": supernet.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.save(folder, epoch, {**content, "history": [asdict(record) for record in history]})
        if on_epoch:
            on_epoch(history[-1])
    return history


def _steps(dataset: Dataset, recipe: Recipe) -> int:
    steps = len(dataset.train) // recipe.batch_size
    if steps == 0:
        raise ConfigError(
            f"batch_size {recipe.batch_size} exceeds the {len(dataset.train)} training images",
            where="train",
            allowed="An epoch holds at least one whole batch",
            do="Use a smaller batch_size",
        )
    return steps


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


def _epoch(
    supernet: Supernet,
    space: AnySpace,
    dataset: Dataset,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    begin: Step,
    seed: int,
    on_step: Callable[[Step], None] | None,
) -> float:
    """One epoch, all its chance from `seed`; the mean loss of the largest network.

    Raises:
        FloatingPointError: something is not finite; names the step and what it was.
    """
    torch.manual_seed(seed)
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    device = next(supernet.parameters()).device
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    supernet.train()
    total = 0.0
    loaded = batches(dataset.train, recipe.batch_size, generator=generator, augment=recipe.augment, drop_last=True)
    for step, (images, labels) in enumerate(loaded, 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, (begin.epoch - 1) + (step - 1) / begin.steps)
        images = images.to(device).contiguous(memory_format=layout)
        try:
            drawn = _drawn(space, rng, recipe, begin.epoch)
            total += sandwich_step(supernet, space, drawn, images, labels.to(device), recipe, optimizer)
        except FloatingPointError as error:
            raise FloatingPointError(f"step {step}: {error}") from error
        if on_step:
            on_step(replace(begin, step=step, loss=total / step))
    if broken := next((name for name, value in supernet.named_parameters() if not value.isfinite().all()), None):
        raise FloatingPointError(f"step {begin.steps}: it left weights `{broken}` that are not finite")
    return total / begin.steps


def _diverged(error: FloatingPointError, epoch: int, folder: Path) -> TrainingError:
    last = checkpoint.checkpoints(folder)
    return TrainingError(
        f"training diverged in epoch {epoch}, {error}",
        where="train",
        allowed=f"Last good checkpoint: {last[-1] if last else 'none, it was the first epoch'}",
        do="Lower train.learning_rate or lengthen train.warm_up_epochs, in an experiment of a new name",
    )


def sandwich_step(
    supernet: Supernet,
    space: AnySpace,
    drawn: Sequence[Architecture],
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
) -> float:
    """One optimizer step over a sandwich of architectures, the largest one first; its loss.

    The largest network learns from the labels, the others from its predictions (in-place distillation, Yu and Huang
    2019).

    Raises:
        FloatingPointError: a loss or a gradient is not finite; names the architecture, and no weight was changed.
    """
    optimizer.zero_grad(set_to_none=True)
    teacher: Tensor | None = None
    first = 0.0
    for architecture in drawn:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = supernet(images, lower(space, architecture)).float()
        if teacher is None:
            loss = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            teacher, first = logits.detach().softmax(1), float(loss.detach())
        else:
            loss = cross_entropy(logits, teacher)
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"the loss of {_named(architecture)} is not finite")
        loss.backward()  # type: ignore[no-untyped-call]
    if not nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip_norm).isfinite():
        raise FloatingPointError(f"the gradients of {' and '.join(map(_named, drawn))} are not finite")
    optimizer.step()
    return first


def _named(architecture: Architecture) -> str:
    return f"architecture {architecture.key} {dict(architecture.picks)}"
