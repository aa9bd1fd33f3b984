"""The accuracy of a run's architectures: its source, handed what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwnas.accuracy import Accuracy, Ingredients, Settings, Source
from hwnas.errors import RunError
from hwnas.registry import member
from hwnas.workspace.supernets import Trained, recipe_of, torch_device
from hwnas.workspace.teacher import open_teacher
from hwnas.workspace.workspace import Run

if TYPE_CHECKING:
    from hwnas.supernet import Supernet


def accuracy_of(run: Run, trained: Trained | None) -> Accuracy:
    """What scores the run's architectures; `trained` is its supernet, if its source needs one."""
    return made(run.source, ingredients_of(run, trained))


def made(source: Source, ingredients: Ingredients) -> Accuracy:
    """What a source makes of the ingredients."""
    make: Callable[[Ingredients], Accuracy] = member(
        {"it": source.make}, "it", what="source of accuracy", where="accuracy"
    )
    return make(ingredients)


def ingredients_of(run: Run, trained: Trained | None) -> Ingredients:
    """What a run has for sources of accuracy; its supernet is there only if `trained` is."""

    def supernet() -> tuple[Supernet, str]:
        if trained is None:
            raise RunError(
                "a source of accuracy needs a trained supernet",
                where=f"experiment `{run.experiment.name}`",
                allowed="Shared weights are trained before a source that needs them is asked",
                do=f"Run `{run.command('train')}` first",
            )
        return trained.supernet, trained.weights

    return Ingredients(
        run.space,
        run.network,
        Settings(**run.experiment.accuracy.model_dump()),
        run.experiment.seed,
        run.base,
        run.folder,
        lambda: torch_device(run.experiment.device),
        run.experiment.data is not None,
        lambda: run.dataset.without_test(),
        lambda: recipe_of(run),
        run.names,
        supernet,
        lambda: open_teacher(run),
    )
