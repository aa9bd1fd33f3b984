"""Teachers: a user's networks that the supernet learns from beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
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
from hwnas.tasks import Task, Tensors

WHERE = "train: teacher"


@final
class AtItsResolution(nn.Module):
    """Module of a network that fits inputs to the network's own: images are resized."""

    def __init__(self, module: nn.Module, network: Network) -> None:
        super().__init__()
        self.module = module
        self.network = network

    def forward(self, inputs: Tensors) -> Tensors:
        """Inputs of the data's shape to the network's outputs."""
        return self.module(self.network.task.fitted(inputs, self.network.input_shape))


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


def checked_teacher(teacher: object, dataset: Dataset, task: Task, name: str) -> nn.Module:
    """Return a user's teacher after a trial on two samples.

    Args:
        teacher: what the user's function returned.
        dataset: whose samples it is tried on.
        task: of the networks that it teaches, with their shapes.
        name: of the teacher, for errors.

    Raises:
        ConfigError: it is not a module, does not run, or returns outputs of other shapes than the networks'.
    """
    problem, terms = f"it is {type(teacher).__name__}", task.terms
    wanted = [(2, *spec.shape) for spec in task.outputs]
    if isinstance(teacher, nn.Module):
        try:
            with torch.no_grad():
                outputs = teacher.eval()(dataset.validation.batch(torch.arange(2)).to(_device(teacher)))
            made = outputs if isinstance(outputs, tuple | list) else [outputs]
            shapes = [tuple(output.shape) for output in made]
            if shapes == wanted and all(bool(output.isfinite().all()) for output in made):
                return teacher
            problem = f"of two {terms.samples} it makes {_told(shapes)}, or what is not finite"
        except Exception as error:  # a user's own module
            problem = f"it does not run on two {terms.samples} ({raised(error)})"
    raise ConfigError(
        problem,
        where=f"{WHERE} {name}",
        allowed=f"A teacher is a torch.nn.Module that makes finite {terms.outputs} {_told(wanted)} of {terms.samples} "
        f"{(2, *dataset.shape)}",
        do="Correct the function, or name other weights",
    )


def _told(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _device(module: nn.Module) -> torch.device:
    return next((value.device for value in module.parameters()), torch.device("cpu"))
