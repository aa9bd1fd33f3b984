"""The teacher that an experiment names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.network import build, lower
from hwnas.opened.build import is_opened
from hwnas.user_code import calling, named
from hwnas.workspace.architectures import pick_architecture
from hwnas.workspace.spaces import open_space
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn


OPENED = "network"
"""Name of the teacher that is the network of the user's that the run's space opens."""


def open_teacher(run: Workspace) -> nn.Module | None:
    """Return the module of `train.teacher`: what a user's function returns, a network with weights from a file, or the
    network that the space opens.

    Raises:
        ConfigError, SpaceError: it leads nowhere, or does not fit the run's images.
    """
    from hwnas.supernet.training.teacher import FromUnit, checked_teacher, teacher_of_weights

    config = run.experiment.train
    if config.teacher is None:
        return None
    task, dataset = lower(run.space, run.space.largest()).task, run.dataset
    if config.teacher == OPENED:
        return checked_teacher(_opened(run), dataset, config.teacher, task)
    if config.teacher.endswith(".safetensors"):
        if config.teacher_space is None:
            raise ConfigError(
                "it is not said of which space the weights are",
                where=f"train: teacher {config.teacher}",
                allowed="Weights are of a network: `teacher_space` and `teacher_architecture` say of which",
                do="Add `teacher_space`, such as the space of this experiment",
            )
        space, _ = open_space(config.teacher_space, base=run.base)
        file = run.paths.resolve(config.teacher_architecture)
        architecture = pick_architecture(space, str(file) if file.exists() else config.teacher_architecture)
        module = teacher_of_weights(run.paths.resolve(config.teacher), lower(space, architecture))
        return checked_teacher(module, dataset, config.teacher, task)
    make = named(config.teacher, base=run.base, where="train: teacher")
    form = "A function without arguments that returns a torch.nn.Module"
    with calling(make, ConfigError, where="train: teacher", name=config.teacher, allowed=form):
        made = make()
    checked, fitted = checked_teacher(made, dataset, config.teacher, task), dataset.train.fit(task)
    return FromUnit(checked, fitted) if fitted.target_facts else checked


def _opened(run: Workspace) -> nn.Module:
    from hwnas.supernet.training.teacher import AtItsResolution

    if not is_opened(run.space):
        raise ConfigError(
            f"`teacher: {OPENED}` is the network that a space opens, and this space is of another kind",
            where="train: teacher",
            allowed="A network of yours that is opened, a function `FILE.py:FUNCTION`, or a `.safetensors` file",
            do="Name one of them",
        )
    network = lower(run.space, run.space.largest())
    return AtItsResolution(build(network), network)
