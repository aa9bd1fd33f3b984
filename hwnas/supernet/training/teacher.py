"""Teachers: a user's networks that the supernet learns from beside the labels."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from hwnas.data import Dataset
from hwnas.errors import ConfigError, raised, reason
from hwnas.io.regular import read_regular
from hwnas.network import Network, build
from hwnas.tasks import Tensors
from hwnas.tasks.ends import call

WHERE = "train: teacher"


@final
class AtItsResolution(nn.Module):
    """Module of a network that fits inputs to the network's own: images are resized."""

    def __init__(self, module: nn.Module, network: Network) -> None:
        super().__init__()
        self.module = module
        self.network = network

    def forward(self, inputs: Tensors) -> Tensors:
        """(N, C, H, W) to (N, classes)."""
        return call(self.module, self.network.task.fitted(inputs, self.network.input_shape))


def teacher_of_weights(path: Path, network: Network) -> nn.Module:
    """Return a network with the weights and statistics of a `.safetensors` file: the saved state of its module.

    Raises:
        ConfigError: it cannot be read, or is of another network.
    """
    with torch.random.fork_rng(devices=[]):
        module = build(network)
    try:
        module.load_state_dict(load(read_regular(path)))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is cut short, or no such file"
        raise ConfigError(
            f"the weights cannot be read ({why})",
            where=f"{WHERE} {path}",
            allowed="A teacher's weights are a `.safetensors` file",
            do="Save them with `safetensors.torch.save_file(module.state_dict(), path)`",
        ) from error
    except RuntimeError as error:
        differences = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ConfigError(
            f"the weights are not of the network that is named ({differences})",
            where=f"{WHERE} {path}",
            allowed="They are the state of `build(network)`, or of what `Supernet.extract` or `train_standalone` gives",
            do="Correct `train.teacher_space` or `train.teacher_architecture`",
        ) from error
    return AtItsResolution(module, network)


def checked_teacher(teacher: object, dataset: Dataset, name: str) -> nn.Module:
    """Return a user's teacher after a trial on two images.

    Raises:
        ConfigError: it is not a module, does not run, or returns something else than a row of logits for each image.
    """
    problem = f"it is {type(teacher).__name__}"
    if isinstance(teacher, nn.Module):
        try:
            with torch.no_grad():
                logits = teacher.eval()(dataset.validation.batch(torch.arange(2)).to(_device(teacher)))
            if tuple(logits.shape) == (2, dataset.classes) and logits.isfinite().all():
                return teacher
            problem = f"of two images it makes {tuple(logits.shape)}, or what is not finite"
        except Exception as error:  # a user's own module
            problem = f"it does not run on two images ({raised(error)})"
    shape = (2, dataset.channels, dataset.resolution, dataset.resolution)
    raise ConfigError(
        problem,
        where=f"{WHERE} {name}",
        allowed=f"A teacher is a torch.nn.Module that makes finite logits ({2}, {dataset.classes}) of images {shape}",
        do="Correct the function, or name other weights",
    )


def _device(module: nn.Module) -> torch.device:
    return next((value.device for value in module.parameters()), torch.device("cpu"))
