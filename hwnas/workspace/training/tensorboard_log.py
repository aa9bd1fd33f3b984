"""A search's progress as a log for TensorBoard."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hwnas.errors import RunError, reason
from hwnas.registry import optional
from hwnas.search.progress import Progress
from hwnas.workspace.workspace import Workspace


@contextmanager
def tensorboard(run: Workspace, tier: str) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that logs a tier's progress in `tensorboard/<tier>` of the run's folder; no log if it is off.

    Each trial is a step. A search that continues adds a file to the existing ones; TensorBoard reads them as one curve.

    Raises:
        MissingExtra: tensorboardX is not installed.
        RunError: the folder cannot be written.
    """
    if not run.experiment.search.tensorboard:
        yield lambda progress: None
        return
    package = optional("tensorboardX", extra="tensorboard", why="search.tensorboard: true")
    folder = run.folder / "tensorboard" / tier
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = f".{uuid.uuid4().hex[:8]}"  # files of one second and machine would have one name
        writer = package.SummaryWriter(str(folder), flush_secs=5, filename_suffix=own)
    except OSError as error:
        raise RunError(
            f"the log for TensorBoard cannot be written ({reason(error)})",
            where=str(folder),
            allowed="The folder must be writable and the disk not full",
            do="Correct that, or leave `search.tensorboard` out",
        ) from error

    def take(progress: Progress) -> None:
        values = {
            "front_size": progress.front_size,
            "hypervolume": progress.hypervolume,
            "best": progress.best,
            "trials_per_second": progress.per_second,
        }
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, progress.trials)

    try:
        yield take
    finally:
        writer.close()
