"""Work of each process of a team: open, join, train, report."""

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
from hwnas.supernet.process_group import SINGLE_PROCESS, ProcessGroup
from hwnas.supernet.slicing.channel_sorting import Sorting
from hwnas.supernet.strategies import Step
from hwnas.supernet.training.recipe import Recipe
from hwnas.supernet.training.resume import Epoch
from hwnas.supernet.training.train import train
from hwnas.supernet.weights import Supernet

PROCESS_TIMEOUT = timedelta(days=1)
"""Time that processes wait for each other. The launcher notices at once that one has died."""


@dataclass(frozen=True)
class WorkerSpec:
    """Arguments of `train` in one process."""

    supernet: Supernet
    space: AnySpace
    dataset: Dataset
    recipe: Recipe
    folder: Path
    seed: int = 0
    base: Path = Path()
    teacher: nn.Module | None = None

    def train(self, callbacks: Callbacks, team: ProcessGroup = SINGLE_PROCESS) -> list[Epoch]:
        """Train, or continue, and return the epochs' records; raises as `train` does."""
        return train(
            self.supernet,
            self.space,
            self.dataset,
            self.recipe,
            self.folder,
            seed=self.seed,
            base=self.base,
            teacher=self.teacher,
            team=team,
            on_step=callbacks.step,
            on_epoch=callbacks.epoch,
            on_sort=callbacks.sort,
            on_trouble=callbacks.trouble,
        )


WorkerFactory = Callable[[int], WorkerSpec]
"""Function from the number of a process on its machine to what it trains, on its own GPU if there are GPUs."""


@dataclass(frozen=True)
class Callbacks:
    """Functions that are called with the progress of training; the `on_...` arguments of `train`."""

    step: Callable[[Step], None] | None = None
    epoch: Callable[[Epoch], None] | None = None
    sort: Callable[[int, Sorting], None] | None = None
    trouble: Callable[[str], None] | None = None

    def report(self, what: str, *values: Any) -> None:
        """Pass a report of a process on to the function for reports of its kind."""
        listener = {"step": self.step, "epoch": self.epoch, "sort": self.sort, "trouble": self.trouble}[what]
        if listener is not None:
            listener(*values)


def run_worker(part: WorkerSpec, team: ProcessGroup, report: Callable[..., None]) -> None:
    """Train with the others. The first process reports everything; the others report steps only, as a heartbeat."""
    callbacks = Callbacks(
        step=lambda step: report("step", step),
        epoch=lambda epoch: report("epoch", epoch),
        sort=lambda epoch, sorting: report("sort", epoch, sorting) if team.is_main else None,
        trouble=(lambda text: report("trouble", text)) if team.is_main else None,
    )
    part.train(callbacks, team)


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
        timeout=PROCESS_TIMEOUT,
    )
