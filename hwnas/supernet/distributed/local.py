"""Processes on this machine, started by `multiprocessing` and watched until they end."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hwnas.errors import HwnasError, TrainingError
from hwnas.supernet.distributed.worker import Callbacks, WorkerFactory, init_process_group, run_worker
from hwnas.supernet.process_group import ProcessGroup

GRACE_S = 30.0
"""Seconds that a process may take to end, once it sends nothing more or is asked to."""


def launch(opener: WorkerFactory, processes: int, callbacks: Callbacks) -> None:
    """Start the processes, pass on the reports of the first one, and end all of them if one fails.

    Raises:
        HwnasError: the error that a process raised.
        TrainingError: a process was ended or failed otherwise.
    """
    context = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="hwnas-") as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        team: dict[Connection, BaseProcess] = {}
        try:
            for rank in range(processes):
                ours, theirs = context.Pipe(duplex=False)
                arguments = (opener, ProcessGroup(rank, processes), meeting, theirs, os.getpid())
                process = context.Process(target=_work, args=arguments, name=f"training {rank + 1}", daemon=True)
                process.start()
                theirs.close()
                team[ours] = process
            _listen(team, callbacks)
        finally:
            _end(team.values())


def _listen(team: dict[Connection, BaseProcess], callbacks: Callbacks) -> None:
    """Pass on reports until all processes are done; the first process is the first one of the team."""
    [first, *_], open_ends = team, dict(team)
    while open_ends:
        for connection in wait(list(open_ends)):
            assert isinstance(connection, Connection)
            try:
                what, *values = connection.recv()
            except (EOFError, OSError):
                _check_end(open_ends.pop(connection), len(team))
                continue
            if what == "error":
                raise values[0]
            if what == "done":
                del open_ends[connection]
            elif connection is first:
                callbacks.report(what, *values)


def _check_end(process: BaseProcess, size: int) -> None:
    process.join(GRACE_S)
    if process.exitcode != 0:
        code = process.exitcode
        how = "does not end" if code is None else f"was ended by signal {-code}" if code < 0 else f"failed, code {code}"
        raise TrainingError(
            f"{process.name} of {size} {how}",
            where="train: processes",
            allowed="The checkpoints so far are whole; the other processes were ended",
            do="Run the same command again: it goes on after the last finished epoch. If memory ran out, raise "
            "train.grad_accumulation_steps or use fewer processes",
        )


def _end(processes: Any) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GRACE_S)
        if process.is_alive():
            process.kill()
            process.join()


def _work(opener: WorkerFactory, team: ProcessGroup, meeting: str, connection: Connection, parent: int) -> None:
    """Run one process from its start to its end; it ends at the next step if its parent is gone."""

    def tell(*message: Any) -> None:
        if os.getppid() != parent:
            os._exit(1)
        connection.send(message)

    try:
        if torch.get_num_threads() > 1:
            torch.set_num_threads(max(1, torch.get_num_threads() // team.size))
        part = opener(team.rank)
        init_process_group(part, team, meeting)
        run_worker(part, team, tell)
        tell("done")
        distributed.destroy_process_group()
    except KeyboardInterrupt:
        os._exit(130)
    except HwnasError as error:
        with suppress(OSError):
            connection.send(("error", error))
        raise SystemExit(1) from error
