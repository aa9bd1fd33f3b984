"""The accuracy of a run's architectures: its source, handed what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwnas.errors import RunError
from hwnas.lookup import member
from hwnas.pipeline.training import Trained, torch_device
from hwnas.pipeline.workspace import Run
from hwnas.proxies import Accuracy, Ingredients, Settings

if TYPE_CHECKING:
    from hwnas.supernet import Supernet


def accuracy_of(run: Run, trained: Trained | None) -> Accuracy:
    """What scores the run's architectures; `trained` is its supernet, if its source needs one."""

    def supernet() -> tuple[Supernet, str]:
        if trained is None:
            raise RunError(
                f"`{run.accuracy}` needs a trained supernet",
                where=f"experiment `{run.experiment.name}`",
                allowed="Shared weights are trained before a source that needs them is asked",
                do="Run `hwnas train` first",
            )
        return trained.supernet, trained.weights

    ingredients = Ingredients(
        run.space,
        run.network,
        Settings(**run.experiment.accuracy.model_dump()),
        run.experiment.seed,
        run.base,
        run.folder,
        lambda: torch_device(run.experiment.device),
        lambda: run.dataset.without_test(),
        supernet,
    )
    make: Callable[[Ingredients], Accuracy] = member(
        {run.accuracy: run.source.make}, run.accuracy, what="source of accuracy", where="accuracy"
    )
    return make(ingredients)
