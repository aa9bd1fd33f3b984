"""What each process of a team does: open, join, train, tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from hwnas.data import Dataset
from hwnas.space import AnySpace
from hwnas.supernet.process_group import ProcessGroup
from hwnas.supernet.slicing.channel_sorting import Sorting
from hwnas.supernet.strategies import Step
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.resume import Epoch
from hwnas.supernet.training.train import train
from hwnas.supernet.weights import Supernet

PATIENCE = timedelta(days=1)
"""How long processes wait for each other. One that has died is seen at once, by whoever launched it."""


@dataclass(frozen=True)
class WorkerSpec:
    """What a process trains: the arguments of `train`."""

    supernet: Supernet
    space: AnySpace
    dataset: Dataset
    recipe: Recipe
    folder: Path
    seed: int = 0
    base: Path = Path()
    teacher: nn.Module | None = None


WorkerFactory = Callable[[int], WorkerSpec]
"""Gives what a process trains, by the number that it has on its machine: on a GPU of its own, if there are GPUs."""


@dataclass(frozen=True)
class Callbacks:
    """Who is told of what; the arguments of `train`."""

    step: Callable[[Step], None] | None = None
    epoch: Callable[[Epoch], None] | None = None
    sort: Callable[[int, Sorting], None] | None = None
    trouble: Callable[[str], None] | None = None

    def hear(self, what: str, *told: Any) -> None:
        """Pass on what a process said."""
        listener = {"step": self.step, "epoch": self.epoch, "sort": self.sort, "trouble": self.trouble}[what]
        if listener is not None:
            listener(*told)


def run_worker(part: WorkerSpec, team: ProcessGroup, tell: Callable[..., None]) -> None:
    """Train with the others. The first process tells of all; the others of steps alone, as a sign of life."""
    train(
        part.supernet,
        part.space,
        part.dataset,
        part.recipe,
        part.folder,
        seed=part.seed,
        base=part.base,
        teacher=part.teacher,
        team=team,
        on_step=lambda step: tell("step", step),
        on_epoch=lambda epoch: tell("epoch", epoch),
        on_sort=lambda epoch, sorting: tell("sort", epoch, sorting) if team.is_main else None,
        on_trouble=(lambda text: tell("trouble", text)) if team.is_main else None,
    )


def init_process_group(part: WorkerSpec, team: ProcessGroup, meeting: str) -> None:
    """Make PyTorch's process group: NCCL between GPUs, else gloo."""
    device = next(part.supernet.parameters()).device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting,
        rank=team.rank,
        world_size=team.size,
        timeout=PATIENCE,
    )
