"""Training one network on its own: from scratch under the budget of the supernet, or from weights that it has."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.data import Dataset
from hwnas.errors import RunError, TrainingError
from hwnas.network import Network, build
from hwnas.supernet.batchnorm import calibration_inputs, recalibrate
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.ema import EMA
from hwnas.supernet.training.epoch import run_epoch
from hwnas.supernet.training.epoch_state import EpochState
from hwnas.supernet.training.recipe import Recipe, epoch_seed, make_optimizer
from hwnas.supernet.training.resume import (
    Identity,
    State,
    fitting,
    identity_dict,
    resume,
    save_mid_epoch,
    task_identity,
)
from hwnas.supernet.training.task import ActiveSubnet, TrainTask, check_recipe
from hwnas.tasks import Tensors
from hwnas.tasks.ends import call


def train_standalone(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    start: nn.Module | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    teacher: nn.Module | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Return a network trained on the labels, with the recipe's images, epochs and learning rates.

    It begins with the weights of `start`, or with its own initial ones. With a `folder`, each epoch is kept there: a
    training that was interrupted ends with the same weights as one that was not. `on_epoch` is called with each epoch
    that is trained now, and its mean loss. The `teacher` that the recipe names teaches it beside the labels. With a
    moving average, the average is the result. It is in eval mode, its statistics recalibrated as those of a sub-network
    are.

    Raises:
        TrainingError: a loss, a weight or a statistic is not finite, or the network cannot be trained.
        RunError: the folder holds another training, or is damaged.
    """
    check_recipe(recipe, dataset.train, teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = (build(network) if start is None else copy.deepcopy(start)).to(device)
        training_task = _course(module, network, dataset, recipe, teacher)
        identity = _identity(network, dataset, recipe, seed, start)
        check = partial(_check_identity, identity)
        state = State(module, training_task.optimizer, training_task.average, check, identity, float)
        midway = None if folder is None else resume(folder, state)

        def keep(position: EpochState) -> None:
            if folder is not None:
                save_mid_epoch(folder, state, position)

        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            after, midway = None if midway is None else midway.position, None
            try:
                state.history.append(
                    run_epoch(training_task, epoch, epoch_seed(seed, epoch), after=after, keep=keep).loss
                )
            except FloatingPointError as error:
                raise _diverged(error, epoch) from error
            if folder is not None:
                checkpoint.save(folder, epoch, state.content())
            if on_epoch:
                on_epoch(epoch, state.history[-1])
    calibration = calibration_inputs(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)
    return recalibrate(state.used, network, calibration)


def _course(
    module: nn.Module, network: Network, dataset: Dataset, recipe: Recipe, teacher: nn.Module | None
) -> TrainTask:
    """Return the training_task of one network, which is the only one in each step."""

    def run(inputs: Tensors) -> Tensors:
        return call(module, network.task.fitted(inputs, network.input_shape))

    return TrainTask(
        module=module,
        split=dataset.train,
        recipe=recipe,
        optimizer=make_optimizer(module, recipe),
        subnets=lambda step, rng: [ActiveSubnet(run)],
        task=dataset.train.fit(network.task),
        teacher=None if teacher is None else teacher.to(next(module.parameters()).device).eval(),
        average=EMA(module, recipe.ema_decay) if recipe.ema_decay else None,
    )


def _diverged(error: FloatingPointError, epoch: int) -> TrainingError:
    return TrainingError(
        f"training diverged in epoch {epoch}, {error}",
        where="a network that is trained alone",
        allowed="Losses, gradients and weights are finite",
        do="Lower the learning rate or lengthen the warm-up",
    )


def _identity(network: Network, dataset: Dataset, recipe: Recipe, seed: int, start: nn.Module | None) -> Identity:
    """Return the identity of the training: of two with unlike ones neither continues the other."""
    chain = [f"{slot}: {one.describe()}" for slot, one in zip(network.slots, network.operators, strict=True)]
    identity = {"network": chain, "dataset": dataset.name, "seed": seed, "recipe": identity_dict(recipe)}
    identity |= task_identity(network.kind, dataset)
    return {**identity, "start": "initial weights" if start is None else weights_digest(start)}


def weights_digest(module: nn.Module) -> str:
    """Return twelve digits that identify weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _check_identity(identity: Identity, content: dict[str, Any], path: Path) -> None:
    was = content["identity"]
    with fitting(path):
        was["recipe"] = {**identity_dict(Recipe()), **was.get("recipe", {})}  # an earlier hwnas did not know all of it
    if changed := [key for key, value in identity.items() if was.get(key) != value]:
        raise RunError(
            f"another training was begun here: its {' and '.join(changed)} differ",
            where=str(path),
            allowed="A training is continued with the settings that it was begun with",
            do="Restore them, or delete the folder to begin anew",
        )
