"""A search's progress as logs for TensorBoard and MLflow."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hwnas.errors import RunError, reason
from hwnas.registry import optional
from hwnas.search.progress import Progress
from hwnas.workspace.workspace import Workspace

Log = Callable[[Progress], None]

ALLOW_FOLDER = "MLFLOW_ALLOW_FILE_STORE"
"""Variable without which MLflow 3 refuses to keep runs in a folder."""


@contextmanager
def search_logs(run: Workspace, tier: str) -> Iterator[Log]:
    """Yield a function that logs a tier's progress wherever the experiment asks for it.

    Raises:
        MissingExtra: the package of a log is not installed.
        RunError: a log cannot be written.
    """
    config = run.experiment.search
    with ExitStack() as stack:
        wanted = [(config.tensorboard, _tensorboard), (config.mlflow, _mlflow)]
        logs = [stack.enter_context(make(run, tier)) for enabled, make in wanted if enabled]

        def log(progress: Progress) -> None:
            for one in logs:
                one(progress)

        yield log


def check_log_packages(tensorboard: bool, mlflow: bool) -> None:
    """Refuse a log whose package is not installed.

    Raises:
        MissingExtra: as said.
    """
    if tensorboard:
        optional("tensorboardX", extra="tensorboard", why="search.tensorboard: true")
    if mlflow:
        optional("mlflow", extra="mlflow", why="search.mlflow: true")


def _metrics(progress: Progress) -> dict[str, float]:
    values = {
        "front_size": progress.front_size,
        "hypervolume": progress.hypervolume,
        "best": progress.best,
        "trials_per_second": progress.per_second,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


@contextmanager
def _tensorboard(run: Workspace, tier: str) -> Iterator[Log]:
    """Log to `tensorboard/<tier>` of the run's folder, a step a trial.

    A search that continues adds a file to the existing ones; TensorBoard reads them as one curve.
    """
    package = optional("tensorboardX", extra="tensorboard", why="search.tensorboard: true")
    folder = run.folder / "tensorboard" / tier
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = f".{uuid.uuid4().hex[:8]}"  # files of one second and machine would have one name
        writer = package.SummaryWriter(str(folder), flush_secs=5, filename_suffix=own)
    except OSError as error:
        raise _unwritable("TensorBoard", "tensorboard", str(folder), error) from error

    def take(progress: Progress) -> None:
        for name, value in _metrics(progress).items():
            writer.add_scalar(name, value, progress.trials)

    try:
        yield take
    finally:
        writer.close()


@contextmanager
def _mlflow(run: Workspace, tier: str) -> Iterator[Log]:
    """Log to `mlruns` of the run's folder: a run of MLflow for each tier, with the experiment as its artifact.

    A search that continues goes on with the same run of MLflow.
    """
    folder = run.folder / "mlruns"
    os.environ.setdefault(ALLOW_FOLDER, "true")
    package = optional("mlflow", extra="mlflow", why="search.mlflow: true")
    try:
        client = package.MlflowClient(tracking_uri=folder.resolve().as_uri())
        run_id = _run_of(client, run, tier)
    except (OSError, package.exceptions.MlflowException) as error:
        raise _unwritable("MLflow", "mlflow", str(folder), error) from error

    def take(progress: Progress) -> None:
        for name, value in _metrics(progress).items():
            client.log_metric(run_id, name, value, step=progress.trials)

    try:
        yield take
    except BaseException:
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _run_of(client: Any, run: Workspace, tier: str) -> str:
    """Return the identifier of a tier's run of MLflow, which is made if it is not there."""
    name = run.experiment.name
    known = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if known is None else known.experiment_id
    earlier = [one for one in client.search_runs([experiment]) if one.data.tags.get("mlflow.runName") == tier]
    if earlier:
        client.update_run(earlier[0].info.run_id, status="RUNNING")
        return str(earlier[0].info.run_id)
    run_id = str(client.create_run(experiment, run_name=tier).info.run_id)
    search = run.experiment.search
    parameters = {"space": run.space.name, "sampler": search.sampler, "seed": run.experiment.seed, "tier": tier}
    for parameter, value in parameters.items():
        client.log_param(run_id, parameter, value)
    client.log_artifact(run_id, str(run.folder / "experiment.yaml"))
    return run_id


def log_front(run: Workspace, tier: str) -> None:
    """Add the files of a tier's front to its run of MLflow, where the experiment asks for one."""
    if not run.experiment.search.mlflow:
        return
    os.environ.setdefault(ALLOW_FOLDER, "true")
    package = optional("mlflow", extra="mlflow", why="search.mlflow: true")
    client = package.MlflowClient(tracking_uri=(run.folder / "mlruns").resolve().as_uri())
    run_id = _run_of(client, run, tier)
    for file in (run.paths.front(tier), run.paths.front(tier).with_suffix(".csv")):
        if file.is_file():
            client.log_artifact(run_id, str(file), "front")
    client.set_terminated(run_id, "FINISHED")


def _unwritable(what: str, key: str, where: str, error: Exception) -> RunError:
    why = reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
    return RunError(
        f"the log for {what} cannot be written ({why})",
        where=where,
        allowed="The folder must be writable and the disk not full",
        do=f"Correct that, or leave `search.{key}` out",
    )
