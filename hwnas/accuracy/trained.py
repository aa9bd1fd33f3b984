"""Quality of a network that is trained for a while: from scratch, or on from what it inherits from the supernet."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

from torch import nn

from hwnas.accuracy.source import AccuracyContext
from hwnas.data import Dataset, Split
from hwnas.network import Network
from hwnas.space import Architecture
from hwnas.stored_names import stored_source
from hwnas.supernet import Recipe, estimate
from hwnas.supernet.training.resume import identity_dict
from hwnas.supernet.training.standalone import train_standalone
from hwnas.supernet.weights_file import save_weights
from hwnas.tasks import DEFAULT_TASK, Task

SHARED_KEYS = (
    "epochs",
    "strategy",
    "middles",
    "phases",
    "phase_epochs",
    "regularise",
    "kernel_transform",
    "largest_epochs",
    "sort_channels_at",
    "initial_weights",
)
"""Stored names of fields of a recipe that say nothing about a single network, or that are identified separately."""
SHORT_EPOCHS = 1
GENTLE = 0.2
"""Share of the recipe's peak rate with which inherited weights are trained on: a whole one would undo them."""


@final
@dataclass(frozen=True)
class TrainedAccuracy:
    """Quality, such as top-1 accuracy, on validation samples, after a network was trained on the targets.

    Each epoch is kept in the folder until the network is scored: an interrupted training continues at the next call.
    `on_epoch` is called with the number of epochs done and that of all epochs.
    """

    lower: Callable[[Architecture], Network]
    dataset: Dataset
    recipe: Recipe
    split: Split
    seed: int
    device: str
    folder: Path
    start: Callable[[Network], nn.Module] | None = None
    """Function that makes the module that a network's training begins with; initial weights if left out."""
    begun_from: str = "scratch"
    """Identifier of those weights."""
    teacher: Callable[[], nn.Module | None] = lambda: None
    """Function that returns the network that the recipe names as a teacher, None if it names none."""
    on_epoch: Callable[[int, int], None] | None = None
    keep: bool = False
    """True if the trained weights are kept, in the file that `weights_path` returns."""
    task: Task = DEFAULT_TASK
    errors: dict[float, float | None] = field(default_factory=dict, repr=False, compare=False)
    """Standard errors by score, of those that were computed here."""

    def __call__(self, architecture: Architecture) -> float:
        network, report = self.lower(architecture), self.on_epoch
        weights = weights_path(self.folder, self.producer, architecture)
        folder = weights.with_suffix("")
        module = train_standalone(
            network,
            self.dataset,
            self.recipe,
            seed=self.seed,
            start=None if self.start is None else self.start(network),
            folder=folder,
            device=self.device,
            teacher=self.teacher(),
            on_epoch=None if report is None else lambda epoch, loss: report(epoch, self.recipe.epochs),
        )
        score = estimate(module, network, self.split)
        self.errors[score.value] = score.error
        if self.keep:
            save_weights(module, weights)
        shutil.rmtree(folder, ignore_errors=True)
        return score.value

    def standard_error(self, score: float) -> float | None:
        """Return the standard error of a score, from the samples alone; the variation by seed is not in it."""
        error = self.errors.get(score)
        return self.task.standard_error(score, len(self.split)) if error is None else error

    @property
    def producer(self) -> str:
        """Identifier of how a stored score was made: equal producers give equal scores."""
        usual, recipe = identity_dict(Recipe()), identity_dict(self.recipe)
        own = {key: value for key, value in sorted(recipe.items()) if key not in SHARED_KEYS and value != usual[key]}
        facts = {
            "from": self.begun_from,
            "epochs": self.recipe.epochs,
            "data": self.dataset.name,
            "seed": self.seed,
            "images": len(self.split),
            **own,
            **({"task": self.task.options} if self.task.options else {}),
        }
        return " ".join(["trained", *(f"{name}={value}" for name, value in facts.items())])


def training_folder(run: Path, source: str) -> Path:
    """Return the folder in a run's folder in which a source trains."""
    return run / "training" / stored_source(source)


def weights_path(folder: Path, producer: str, architecture: Architecture) -> Path:
    """Return the file in a source's folder for the weights of a network when it was scored, if they were kept."""
    return folder / hashlib.sha256(producer.encode()).hexdigest()[:8] / f"{architecture.key}.safetensors"


def standalone(ingredients: AccuracyContext) -> TrainedAccuracy:
    """Return the accuracy after training from scratch, for as many epochs as the supernet, or for `accuracy.epochs`."""
    settings, recipe = ingredients.settings, ingredients.recipe()
    return _trained(ingredients, replace(recipe, epochs=settings.epochs or recipe.epochs))


def finetuned(ingredients: AccuracyContext) -> TrainedAccuracy:
    """Return the accuracy after training on from inherited weights, at a gentle rate, for `accuracy.epochs`."""
    settings, recipe = ingredients.settings, ingredients.recipe()
    supernet, weights = ingredients.supernet()
    gentle = replace(
        recipe, epochs=settings.epochs or SHORT_EPOCHS, learning_rate=GENTLE * recipe.learning_rate, warm_up_epochs=0.0
    )
    return replace(_trained(ingredients, gentle), start=supernet.extract, begun_from=f"inherited:{weights}")


def _trained(ingredients: AccuracyContext, recipe: Recipe) -> TrainedAccuracy:
    settings, dataset = ingredients.settings, ingredients.dataset()
    return TrainedAccuracy(
        ingredients.lower,
        dataset,
        recipe,
        dataset.validation if settings.samples is None else dataset.validation.first(settings.samples),
        ingredients.seed,
        ingredients.device(),
        training_folder(ingredients.folder, settings.source),
        teacher=ingredients.teacher,
        keep=ingredients.keep_weights,
        task=ingredients.space.task,
    )
