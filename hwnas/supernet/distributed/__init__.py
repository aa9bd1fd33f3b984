"""Training in several processes: each opens what is trained for itself and goes through its part of every batch."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.registry import member
from hwnas.supernet.distributed.worker import Callbacks, WorkerFactory, WorkerSpec

LAUNCHERS: Mapping[str, str] = {
    "local": "hwnas.supernet.distributed.local:launch",
    "ray": "hwnas.supernet.distributed.ray_train:launch",
}

__all__ = ["LAUNCHERS", "Callbacks", "WorkerFactory", "WorkerSpec", "train_distributed"]


def train_distributed(
    opener: WorkerFactory, processes: int, *, launcher: str = "local", callbacks: Callbacks | None = None
) -> None:
    """Train in `processes` processes at once until all epochs are in the folder of checkpoints.

    `opener` is called in each process with the number that the process has on its machine, and returns what it trains;
    it must survive pickling. Reports of the first process go to `callbacks`.

    Raises:
        TrainingError: training diverged, as in one process; or a process was ended. The checkpoints so far are whole.
    """
    launch = member(LAUNCHERS, launcher, what="launcher", where="train: launcher")
    launch(opener, processes, callbacks or Callbacks())
