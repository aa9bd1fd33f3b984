"""Training the supernet of a run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.io.checkpoint_files import checkpoints, epoch_of
from hwnas.report.units import Units
from hwnas.tasks import Task
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.resolutions import resizing
from hwnas.workspace.training.supernets import (
    Trained,
    adopt_weights,
    check_weights,
    load_run,
    new_supernet,
    recipe_of,
    torch_device,
    trained_supernet,
    worker_spec,
)
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.supernet import Epoch, Recipe, Sorting, Step
    from hwnas.supernet.distributed import WorkerSpec


class TrainedEpochs(list["Epoch"]):
    """All epochs of a supernet's training."""

    def __init__(self, epochs: Iterable[Epoch], task: Task) -> None:
        super().__init__(epochs)
        self.task = task
        """Task that the epochs' qualities are of."""

    def qualities(self, epoch: Epoch) -> str:
        """Return the qualities of an epoch's smallest and largest network in words."""
        label = Units(self.task.metrics).in_sentence(self.task.quality.name)
        smallest, largest = map(self.task.quality_text, (epoch.smallest, epoch.largest))
        return f"validation {label} smallest {smallest}, largest {largest}"


def train(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    save: Path | None = None,
    reporter: Reporter | None = None,
) -> TrainedEpochs:
    """Train the supernet of an experiment; started again, it continues after the last finished epoch.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        save: file that the trained weights are written to, for `train.weights` of other experiments.
        reporter: receives messages and progress; silent if left out.

    Returns:
        All epochs: loss, seconds, and validation qualities of the smallest and the largest network, in their unit.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        TrainingError: the loss is not finite.
        RunError: a checkpoint is of other conditions or cannot be read.

    Example:
        >>> from hwnas import pipeline
        >>> [epoch.epoch for epoch in pipeline.train("mini.yaml")]
        [1, 2]
    """
    run = open_run(reference, runs=runs, reporter=reporter, before=check_weights)
    with locked(run):
        history = train_run(run, default_reporter(reporter)).history
        if save is not None:
            from hwnas.supernet.trained_weights import save_trained

            save_trained(run.paths.train, save)
        return TrainedEpochs(history, run.task)


def train_run(run: Workspace, reporter: Reporter) -> Trained:
    """Train, or continue, or just load what is finished."""
    from hwnas.supernet.distributed import Callbacks, train_distributed

    if (notice := resizing(run.space, run.dataset.shape[1:])) is not None:
        reporter.info(notice)
    for note in run.dataset.raw.notes:
        reporter.info(f"data: {note}")
    adopt_weights(run)
    if run.experiment.train.format is not None:
        return load_run(run, reporter)
    supernet, recipe = new_supernet(run), recipe_of(run)
    with adding_elapsed(run.paths.elapsed, "training"), reporter.bar("training the supernet") as bar:
        last = ""

        def on_step(step: Step) -> None:
            bar.update((step.epoch - 1) + step.step / step.steps, step.epochs, f"{last}loss {step.loss:.3f}")

        def on_epoch(epoch: Epoch) -> None:
            nonlocal last
            smallest, largest = map(run.task.quality_text, (epoch.smallest, epoch.largest))
            last = f"validation: smallest {smallest}, largest {largest} · "
            bar.update(epoch.epoch, recipe.epochs, f"{last}loss {epoch.loss:.3f}")

        def on_sort(epoch: int, sorting: Sorting) -> None:
            reporter.info(_sorted(epoch, sorting))

        callbacks = Callbacks(on_step, on_epoch, on_sort, reporter.info)
        if recipe.processes > 1 and not _finished(run, recipe):
            train_distributed(
                partial(open_part, run.folder.absolute()),
                recipe.processes,
                launcher=recipe.launcher,
                callbacks=callbacks,
            )
        history = worker_spec(run, supernet, recipe).train(callbacks)
    return trained_supernet(supernet, history)


def open_part(folder: Path, number: int) -> WorkerSpec:
    """Return the work of one of several processes: the run, opened anew from its folder, on GPU `number` if any."""
    import torch

    run = open_run(folder)
    device = torch_device(run.experiment.device)
    own = f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device
    return worker_spec(run, new_supernet(run).to(own), recipe_of(run))


def _finished(run: Workspace, recipe: Recipe) -> bool:
    """Return whether the checkpoints say that nothing is left to train."""
    files = checkpoints(run.paths.train)
    return bool(files) and epoch_of(files[-1]) == recipe.epochs


def _sorted(epoch: int, sorting: Sorting) -> str:
    """Return a line on what a sorting did; groups that stay are named with their reason."""
    stay = "; ".join(f"{group.name} ({group.fixed})" for group in sorting.fixed)
    kept = f", {len(sorting.fixed)} stay as they are: {stay}" if stay else ""
    return f"before epoch {epoch}: {len(sorting.sorted)} groups of channels sorted{kept}"
