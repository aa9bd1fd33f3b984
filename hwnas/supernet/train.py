"""Training of a supernet: sandwich rule and in-place distillation, resumable at every epoch."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hwnas.data import Dataset, batches
from hwnas.errors import ConfigError, RunError, TrainingError
from hwnas.network import lower
from hwnas.space import AnySpace, Architecture
from hwnas.supernet import checkpoint
from hwnas.supernet.statistics import accuracy, calibration_images, settled
from hwnas.supernet.weights import Supernet


@dataclass(frozen=True)
class Recipe:
    """How to train. Defaults suit small image networks trained from scratch."""

    epochs: int = 30
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.05
    """Peak rate, reached after `warm_up_epochs` and brought to zero along a cosine."""
    warm_up_epochs: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    clip_norm: float = 5.0
    """Bound on the norm of all gradients of a step."""
    middles: int = 2
    """Random networks a step, beside the largest and the smallest."""
    augment: str = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs forward and backward under autocast; weights and their update stay in fp32."""
    channels_last: bool = False
    """Memory layout of the activations; with bf16 it is the faster one on CPUs with matrix units, and on GPUs."""
    calibration_batches: int = 8
    """Batches from which the normalisation statistics of a network are recomputed before it is scored."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; accuracies are of the validation split, after recalibration."""

    epoch: int
    loss: float
    smallest: float
    largest: float
    learning_rate: float
    seconds: float


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
) -> list[Epoch]:
    """Train in place and return the epochs' records; a folder with checkpoints is continued from the last one.

    All that is drawn in an epoch (order, augmentation, architectures, dropout) follows from the seed and the epoch's
    number, so an interrupted and resumed training gives the same weights as an uninterrupted one.

    Raises:
        TrainingError: a loss is not finite; the checkpoints so far stay as they are.
        RunError: the checkpoints were made by another recipe, space or seed, or the last one is damaged.
    """
    steps = len(dataset.train) // recipe.batch_size
    if steps == 0:
        raise ConfigError(
            f"batch_size {recipe.batch_size} exceeds the {len(dataset.train)} training images",
            where="train",
            allowed="An epoch holds at least one whole batch",
            do="Use a smaller batch_size",
        )
    optimizer = make_optimizer(supernet, recipe)
    identity = {"space": space.name, "dataset": dataset.name, "seed": seed, "recipe": asdict(recipe)}
    history = _resume(folder, supernet, optimizer, identity)
    calibration = calibration_images(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        start = time.monotonic()
        with torch.random.fork_rng():
            torch.manual_seed(epoch_seed(seed, epoch))
            loss = _epoch(supernet, space, dataset, recipe, optimizer, epoch, steps, seed, folder, on_step)
        scores = [
            accuracy(settled(supernet, network, calibration), network, dataset.validation)
            for network in (lower(space, space.smallest()), lower(space, space.largest()))
        ]
        rate = optimizer.param_groups[0]["lr"]
        history.append(Epoch(epoch, loss, scores[0], scores[1], rate, time.monotonic() - start))
        checkpoint.save(
            folder,
            epoch,
            {
                "identity": identity,
                "weights": supernet.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": [asdict(record) for record in history],
            },
        )
        if on_epoch:
            on_epoch(history[-1])
    return history


def _epoch(
    supernet: Supernet,
    space: AnySpace,
    dataset: Dataset,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    steps: int,
    seed: int,
    folder: Path,
    on_step: Callable[[Step], None] | None,
) -> float:
    rng = random.Random(epoch_seed(seed, epoch))
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    device = next(supernet.parameters()).device
    supernet.train()
    total = 0.0
    drawn = batches(dataset.train, recipe.batch_size, generator=generator, augment=recipe.augment, drop_last=True)
    for step, (images, labels) in enumerate(drawn, 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, (epoch - 1) + (step - 1) / steps)
        try:
            layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
            images = images.to(device).contiguous(memory_format=layout)
            loss = sandwich_step(supernet, space, images, labels.to(device), recipe, rng, optimizer)
        except FloatingPointError as error:
            last = checkpoint.checkpoints(folder)
            raise TrainingError(
                f"the loss is not finite in epoch {epoch}, step {step}, at {error}",
                where="train",
                allowed=f"Last good checkpoint: {last[-1] if last else 'none, it was the first epoch'}",
                do="Lower train.learning_rate or lengthen train.warm_up_epochs, in an experiment of a new name",
            ) from error
        total += loss
        if on_step:
            on_step(Step(epoch, recipe.epochs, step, steps, total / step))
    return total / steps


def sandwich_step(
    supernet: Supernet,
    space: AnySpace,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    rng: random.Random,
    optimizer: torch.optim.Optimizer,
) -> float:
    """One optimizer step over a sandwich; the loss of the largest network.

    The largest network learns from the labels, the others from its predictions (in-place distillation, Yu and Huang
    2019).

    Raises:
        FloatingPointError: a loss is not finite; names the architecture, and no weight was changed.
    """
    optimizer.zero_grad(set_to_none=True)
    teacher: Tensor | None = None
    first = 0.0
    for architecture in sandwich(space, rng, recipe.middles):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = supernet(images, lower(space, architecture)).float()
        if teacher is None:
            loss = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            teacher, first = logits.detach().softmax(1), float(loss.detach())
        else:
            loss = cross_entropy(logits, teacher)
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"architecture {architecture.key} {dict(architecture.picks)}")
        loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip_norm)
    optimizer.step()
    return first


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The rate at a point of training, `epoch` counting from 0 in fractions."""
    if epoch < recipe.warm_up_epochs:
        return recipe.learning_rate * (epoch + 1e-2) / (recipe.warm_up_epochs + 1e-2)
    done = (epoch - recipe.warm_up_epochs) / max(recipe.epochs - recipe.warm_up_epochs, 1e-9)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def load_trained(supernet: Supernet, folder: Path) -> tuple[list[Epoch], Path]:
    """Fill a supernet from the last checkpoint of a folder; its history and the file."""
    found = checkpoint.checkpoints(folder)
    if not found:
        raise RunError(
            "there is no checkpoint",
            where=str(folder),
            allowed="A supernet is trained before it is searched",
            do="Run `hwnas train EXPERIMENT` first",
        )
    content = checkpoint.load(found[-1])
    supernet.load_state_dict(content["weights"])
    return [Epoch(**record) for record in content["history"]], found[-1]


def make_optimizer(supernet: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay acts on matrices and kernels, not on biases and normalisation."""
    decayed = [p for p in supernet.parameters() if p.ndim > 1]
    others = [p for p in supernet.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def _resume(
    folder: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> list[Epoch]:
    found = checkpoint.checkpoints(folder)
    if not found:
        return []
    content = checkpoint.load(found[-1])
    was = content["identity"]
    changed = [
        f"{name}: {before!r} then, {now!r} now"
        for name, before, now in [
            *((key, was[key], identity[key]) for key in ("space", "dataset", "seed")),
            *((f"train.{key}", was["recipe"].get(key), value) for key, value in identity["recipe"].items()),
        ]
        if before != now
    ]
    if changed:
        raise RunError(
            f"training was begun differently ({'; '.join(changed)})",
            where=str(found[-1]),
            allowed="A training is resumed with the settings that it was begun with",
            do="Restore them, give the experiment a new `name`, or delete the checkpoints",
        )
    supernet.load_state_dict(content["weights"])
    optimizer.load_state_dict(content["optimizer"])
    return [Epoch(**record) for record in content["history"]]


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything that is drawn in an epoch."""
    return seed * 1_000_003 + epoch
