"""Teachers: a user's networks that the supernet learns from beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from hwnas.data import Dataset
from hwnas.errors import ConfigError, raised, reason
from hwnas.io.regular import read_regular
from hwnas.network import Network, build
from hwnas.tasks import Task, Tensors
from hwnas.tasks.ends import call

WHERE = "train: teacher"


@final
class AtItsResolution(nn.Module):
    """Module of a network that fits inputs to the network's own: images are resized."""

    def __init__(self, module: nn.Module, network: Network) -> None:
        super().__init__()
        self.module = module
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensors:
        """Inputs of any size to outputs."""
        taken: Tensors = inputs if len(inputs) > 1 else inputs[0]
        return call(self.module, self.network.task.fitted(taken, self.network.input_shape))


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


@final
class FromUnit(nn.Module):
    """Module whose outputs are in the user's unit, as a teacher of networks that learn another scale."""

    def __init__(self, module: nn.Module, task: Task) -> None:
        super().__init__()
        self.module = module
        self.task = task

    def forward(self, *inputs: Tensor) -> Tensors:
        """Inputs to outputs as the networks of the task give them."""
        return self.task.from_unit(self.module(*inputs))


def checked_teacher(teacher: object, dataset: Dataset, name: str, task: Task) -> nn.Module:
    """Return a user's teacher after a trial on two samples.

    Args:
        teacher: the object that must be one.
        dataset: data that it sees.
        name: of the teacher, for errors.
        task: with the shapes of one of the networks that it teaches.

    Raises:
        ConfigError: it is not a module, does not run, or returns something else than such outputs for each sample.
    """
    problem, samples = f"it is {type(teacher).__name__}", task.terms.samples
    if isinstance(teacher, nn.Module):
        try:
            with torch.no_grad():
                inputs = tree_map(lambda part: part.to(_device(teacher)), dataset.validation.batch(torch.arange(2)))
                outputs = call(teacher.eval(), inputs)
            leaves = tree_leaves(outputs)
            if _fit(leaves, task) and all(bool(leaf.isfinite().all()) for leaf in leaves):
                return teacher
            made = ", ".join(str(tuple(leaf.shape)) for leaf in leaves)
            problem = f"of two {samples} it makes {made}, or what is not finite"
        except Exception as error:  # a user's own module
            problem = f"it does not run on two {samples} ({raised(error)})"
    shapes = ", ".join(str((2, *spec.shape)) for spec in task.outputs)
    raise ConfigError(
        problem,
        where=f"{WHERE} {name}",
        allowed=f"A teacher is a torch.nn.Module that makes finite {task.terms.outputs} {shapes} "
        f"of {samples} {(2, *dataset.shape)}",
        do="Correct the function, or name other weights",
    )


def _fit(outputs: Sequence[Tensor], task: Task) -> bool:
    """Return whether outputs for two samples are those of the task; images may be of any size."""
    shapes = [(2, *spec.shape) for spec in task.outputs]
    return len(outputs) == len(shapes) and all(
        output.ndim == len(shape) and tuple(output.shape[:2]) == shape[:2]
        for output, shape in zip(outputs, shapes, strict=True)
    )


def _device(module: nn.Module) -> torch.device:
    return next((value.device for value in module.parameters()), torch.device("cpu"))
