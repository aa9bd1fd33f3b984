"""The accuracy of a run's architectures: its source, given what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwnas.accuracy import Accuracy, AccuracyContext, AccuracySource, Settings
from hwnas.errors import RunError
from hwnas.registry import imported
from hwnas.workspace.training.supernets import Trained, recipe_of, torch_device
from hwnas.workspace.training.teacher import open_teacher
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.supernet import Supernet


def accuracy_of(run: Workspace, trained: Trained | None) -> Accuracy:
    """Return the accuracy that scores the run's architectures; `trained` is its supernet, if its source needs one."""
    return make_accuracy(run.source, accuracy_context(run, trained))


def make_accuracy(source: AccuracySource, ingredients: AccuracyContext) -> Accuracy:
    """Return the accuracy that a source makes from the ingredients."""
    make: Callable[[AccuracyContext], Accuracy]
    make = imported(source.make, what="source of accuracy", where="accuracy")
    return make(ingredients)


def accuracy_context(run: Workspace, trained: Trained | None) -> AccuracyContext:
    """Return the ingredients that a run has for sources of accuracy; its supernet is there only if `trained` is."""

    def supernet() -> tuple[Supernet, str]:
        if trained is None:
            raise RunError(
                "a source of accuracy needs a trained supernet",
                where=f"experiment `{run.experiment.name}`",
                allowed="Shared weights are trained before a source that needs them is asked",
                do=f"Run `{run.command('train')}` first",
            )
        return trained.supernet, trained.weights

    return AccuracyContext(
        run.space,
        run.network,
        Settings(**run.experiment.accuracy.model_dump(exclude={"file_every"})),
        run.experiment.seed,
        run.base,
        run.folder,
        lambda: torch_device(run.experiment.device),
        run.experiment.data is not None,
        lambda: run.dataset.without_test(),
        lambda: recipe_of(run),
        run.published.names,
        supernet,
        lambda: open_teacher(run),
    )
