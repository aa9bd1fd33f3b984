"""The teacher that an experiment names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.registry import calling, named
from hwnas.workspace.architectures import pick_architecture
from hwnas.workspace.spaces import open_space
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn


def open_teacher(run: Workspace) -> nn.Module | None:
    """Return the module of `train.teacher`: what a user's function returns, or a network with weights from a file.

    Raises:
        ConfigError, SpaceError: it leads nowhere, or does not fit the run's images.
    """
    from hwnas.supernet.training.teacher import checked_teacher, teacher_of_weights

    config = run.experiment.train
    if config.teacher is None:
        return None
    if config.teacher.endswith(".safetensors"):
        if config.teacher_space is None:
            raise ConfigError(
                "it is not said of which space the weights are",
                where=f"train: teacher {config.teacher}",
                allowed="Weights are of a network: `teacher_space` and `teacher_architecture` say of which",
                do="Add `teacher_space`, such as the space of this experiment",
            )
        space, _ = open_space(config.teacher_space, base=run.base)
        architecture = config.teacher_architecture
        network = lower(space, pick_architecture(space, _found(architecture, run.base)))
        made: object = teacher_of_weights(Path(_found(config.teacher, run.base)), network)
    else:
        make = named(config.teacher, base=run.base, where="train: teacher")
        form = "A function without arguments that returns a torch.nn.Module"
        with calling(make, ConfigError, where="train: teacher", name=config.teacher, allowed=form):
            made = make()
    return checked_teacher(made, run.dataset, config.teacher)


def _found(name: str, base: Path) -> str:
    """Return a file's path from the current folder, else from `base`; the name unchanged if it is neither."""
    path = Path(name).expanduser()
    return str(base / path) if not path.exists() and (base / path).exists() else str(path)
