"""A training: the module, its data, and the function that selects the networks of a step."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from hwnas.data import Split
from hwnas.errors import ConfigError
from hwnas.space import Architecture
from hwnas.supernet.process_group import SINGLE_PROCESS, ProcessGroup
from hwnas.supernet.strategies import Step
from hwnas.supernet.training.ema import EMA
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.skipped import SkippedSubnets
from hwnas.tasks import DEFAULT_TASK, Task, Tensors


@dataclass(frozen=True)
class ActiveSubnet:
    """One network in a step."""

    run: Callable[[Tensors], Tensors]
    """Inputs to outputs; may raise anything if the network cannot be built."""
    architecture: Architecture | None = None
    """Architecture in a space; None for a network that is trained alone."""
    teacher: int | None = None
    """Index, earlier in the step, of the network that it learns from; None: from the targets."""

    @property
    def name(self) -> str:
        """Name of the network in errors."""
        one = self.architecture
        return "the network" if one is None else f"architecture {one.key} {dict(one.picks)}"


@dataclass(frozen=True)
class TrainTask:
    """Module to train, its data, and the function that selects the networks of a step."""

    module: nn.Module
    split: Split
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    subnets: Callable[[Step, random.Random], Sequence[ActiveSubnet]]
    teacher: nn.Module | None = None
    """Teacher in eval mode, on the device of the trained module."""
    average: EMA[nn.Module] | None = None
    team: ProcessGroup = SINGLE_PROCESS
    failures: SkippedSubnets = field(default_factory=SkippedSubnets)
    task: Task = DEFAULT_TASK
    """Task of the networks; its loss smooths labels as the recipe says."""

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self.split) // self.recipe.batch_size

    @property
    def parts(self) -> int:
        """Number of parts that a batch is cut into, each of which goes through the networks by itself."""
        return parts_of(self.recipe)


def parts_of(recipe: Recipe) -> int:
    """`grad_accumulation_steps` parts; if that is left out, one for each process."""
    return recipe.grad_accumulation_steps if recipe.grad_accumulation_steps > 1 else recipe.processes


def check_recipe(recipe: Recipe, split: Split, teacher: nn.Module | None) -> None:
    """Refuse a recipe that does not fit the data, or the teacher.

    Raises:
        ConfigError: there is no whole batch, it cannot be cut as the recipe says, or only one of the recipe and the
            arguments names a teacher.
    """
    parts = parts_of(recipe)
    if len(split) < recipe.batch_size:
        raise ConfigError(
            f"`batch_size` is {recipe.batch_size}, and {len(split)} samples are for training",
            where="train",
            allowed="An epoch holds at least one whole batch",
            do="Set a smaller `train.batch_size`",
        )
    if parts % recipe.processes or (parts > 1 and 2 * parts > recipe.batch_size):
        raise ConfigError(
            f"a batch of {recipe.batch_size} samples is cut into {parts} parts for {recipe.processes} processes",
            where="train: accumulate",
            allowed="Each process has as many parts as the others, and a part has two samples or more",
            do="Make `grad_accumulation_steps` a multiple of `processes`, or leave it out",
        )
    if (recipe.teacher is None) != (teacher is None):
        raise ConfigError(
            f"the recipe says `teacher={recipe.teacher}`, and {'none' if teacher is None else 'one'} is given",
            where="train: teacher",
            allowed="A recipe names the teacher that it is used with",
            do="Pass what `hwnas.workspace.training.teacher.open_teacher` gives as `teacher` and name it in the recipe",
        )
