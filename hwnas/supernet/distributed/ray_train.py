"""Processes by Ray Train, on one machine or on many that see the same folders."""

from __future__ import annotations

from typing import Any

from hwnas.errors import HwnasError, TrainingError, reason
from hwnas.registry import optional
from hwnas.supernet.distributed.worker import PROCESS_TIMEOUT, Callbacks, WorkerFactory, run_worker
from hwnas.supernet.process_group import ProcessGroup

WHY = "train.launcher: ray"


def launch(opener: WorkerFactory, processes: int, callbacks: Callbacks) -> None:
    """Start the processes as Ray's workers and wait for them. Progress is Ray's own; epochs are in the checkpoints.

    Raises:
        HwnasError: the error that a process raised.
        TrainingError: Ray could not train.
    """
    import torch

    train = optional("ray.train", extra="ray", why=WHY)
    by_torch = optional("ray.train.torch", extra="ray", why=WHY)
    gpu = torch.cuda.is_available()
    trainer = by_torch.TorchTrainer(
        _work,
        train_loop_config={"opener": opener},
        scaling_config=train.ScalingConfig(num_workers=processes, use_gpu=gpu),
        torch_config=by_torch.TorchConfig(
            backend="nccl" if gpu else "gloo", timeout_s=int(PROCESS_TIMEOUT.total_seconds())
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        if (own_error := _of_hwnas(error)) is not None:
            raise own_error from error
        raise TrainingError(
            f"Ray could not train in {processes} processes ({reason(error)})",
            where=WHY,
            allowed="The checkpoints so far are whole",
            do="Run the same command again: it goes on after the last finished epoch",
        ) from error


def _work(config: dict[str, Any]) -> None:
    """Run one of Ray's workers; the process group exists already."""
    context = optional("ray.train", extra="ray", why=WHY).get_context()
    team = ProcessGroup(context.get_world_rank(), context.get_world_size())
    run_worker(config["opener"](context.get_local_rank()), team, lambda *message: None)


def _of_hwnas(error: BaseException | None) -> HwnasError | None:
    """Return the error of hwnas that is wrapped in one of Ray's, if there is one."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, HwnasError):
            return one
        inner = getattr(one, "worker_failures", None)
        todo += [one.__cause__, one.__context__, *(inner.values() if isinstance(inner, dict) else ())]
    return None
