"""Training one network on its own: from scratch under the budget of the supernet, or on from weights that it has."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hwnas.data import Dataset, batches
from hwnas.errors import RunError, TrainingError
from hwnas.network import Network, build
from hwnas.supernet import checkpoint
from hwnas.supernet.recipe import Recipe, epoch_seed, learning_rate, make_optimizer
from hwnas.supernet.resume import Identity
from hwnas.supernet.statistics import calibration_images, recalibrate
from hwnas.supernet.weights import resized


def train_alone(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    start: nn.Module | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    on_epoch: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """A network trained on the labels, with the recipe's images, epochs and learning rates.

    It begins with the weights of `start`, or with initial ones of its own. With a `folder`, each epoch is kept there:
    a training that was interrupted ends with the same weights as one that was not. `on_epoch` is told each epoch that
    is trained now, and its mean loss. The result is in eval mode, its statistics recalibrated as those of a sub-network
    are.

    Raises:
        TrainingError: a loss or a weight is not finite.
        RunError: the folder holds another training, or is damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = (build(network) if start is None else copy.deepcopy(start)).to(device)
        optimizer = make_optimizer(module, recipe)
        identity = _identity(network, dataset, recipe, seed, start)
        losses = [] if folder is None else _resume(folder, module, optimizer, identity)
        for epoch in range(len(losses) + 1, recipe.epochs + 1):
            losses.append(_epoch(module, network, dataset, recipe, optimizer, epoch, epoch_seed(seed, epoch)))
            if folder is not None:
                weights = {"weights": module.state_dict(), "optimizer": optimizer.state_dict()}
                checkpoint.save(folder, epoch, {"identity": identity, **weights, "history": losses})
            if on_epoch:
                on_epoch(epoch, losses[-1])
    calibration = calibration_images(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    return recalibrate(module, network, calibration)


def _epoch(
    module: nn.Module,
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    seed: int,
) -> float:
    """One epoch, all its chance from `seed`; its mean loss."""
    steps = len(dataset.train) // recipe.batch_size
    device = next(module.parameters()).device
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(seed)
    drawn = batches(dataset.train, recipe.batch_size, generator=generator, augment=recipe.augment, drop_last=True)
    module.train()
    total = 0.0
    torch.manual_seed(seed)  # dropout
    for step, (images, labels) in enumerate(drawn):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, (epoch - 1) + step / steps)
        optimizer.zero_grad(set_to_none=True)
        images = images.to(device).contiguous(memory_format=layout)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = module(resized(images, network)).float()
        loss = cross_entropy(logits, labels.to(device), label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if not nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm).isfinite():
            raise _diverged(epoch, step + 1)
        optimizer.step()
        total += float(loss.detach())
    return total / steps


def _diverged(epoch: int, step: int) -> TrainingError:
    return TrainingError(
        f"training diverged in epoch {epoch}, step {step}: its gradients are not finite",
        where="a network that is trained alone",
        allowed="Losses, gradients and weights are finite",
        do="Lower the learning rate or lengthen the warm-up",
    )


def _identity(network: Network, dataset: Dataset, recipe: Recipe, seed: int, start: nn.Module | None) -> Identity:
    """What the training is: of two unlike ones neither continues the other."""
    chain = [f"{slot}: {one.describe()}" for slot, one in zip(network.slots, network.operators, strict=True)]
    told = {"network": chain, "dataset": dataset.name, "seed": seed, "recipe": asdict(recipe)}
    return {**told, "start": "initial weights" if start is None else digest_of(start)}


def digest_of(module: nn.Module) -> str:
    """Twelve digits that tell weights apart."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _resume(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, identity: Identity) -> list[float]:
    found = checkpoint.checkpoints(folder)
    if not found:
        return []
    content = checkpoint.load(found[-1])
    if changed := [key for key, value in identity.items() if content["identity"].get(key) != value]:
        raise RunError(
            f"another training was begun here: its {' and '.join(changed)} differ",
            where=str(found[-1]),
            allowed="A training is continued with the settings that it was begun with",
            do="Restore them, or delete the folder to begin anew",
        )
    module.load_state_dict(content["weights"])
    optimizer.load_state_dict(content["optimizer"])
    return [float(loss) for loss in content["history"]]
