"""Training a pick on before it is exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hwnas.errors import TrainingError
from hwnas.network import Network
from hwnas.problem.accuracy import accuracy_context
from hwnas.space import Architecture
from hwnas.tasks import paired_difference
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from hwnas.data import Split
    from hwnas.tasks import Estimate
    from hwnas.workspace.training.supernets import Trained


@dataclass(frozen=True, eq=False)
class FineTuneResult:
    """A module that is exported in place of a network, and the manifest's entry on it."""

    module: nn.Module
    manifest_entry: dict[str, Any]
    better: bool
    """True if it differs from the one before."""


def tune(
    run: Workspace,
    trained: Trained,
    architecture: Architecture,
    network: Network,
    before: nn.Module,
    start: nn.Module,
    on_epoch: Callable[[int, int], None],
) -> FineTuneResult:
    """Return the network trained on from `start` for `export.fine_tune_epochs`, where that beats `before`.

    Validation samples decide which is better. Each epoch is kept in the run folder: an export that was interrupted ends
    with the same weights as one that was not, and another export does not train again. A training that diverges leaves
    the network as it was; the reason is returned.
    """
    from hwnas.accuracy.trained import finetuned
    from hwnas.supernet import estimate
    from hwnas.supernet.training.standalone import train_standalone, weights_digest

    ingredients = accuracy_context(run, trained)
    settings = replace(ingredients.settings, source="finetuned", epochs=run.experiment.export.fine_tune_epochs)
    recipe = finetuned(replace(ingredients, settings=settings)).recipe
    dataset, seed = run.dataset.without_test(), run.experiment.seed
    entry: dict[str, Any] = {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate}
    folder = run.folder / "fine_tuned" / f"{architecture.key}-{weights_digest(start)}-{recipe.epochs}"
    judged = f"validation_{network.task.quality.name}"
    score_entry = partial(measured, split=dataset.validation, samples=network.task.terms.samples)
    first = estimate(before, network, dataset.validation)
    scores = {"before": score_entry(first)}
    try:
        after = train_standalone(
            network,
            dataset,
            recipe,
            seed=seed,
            start=start,
            folder=folder,
            device=ingredients.device(),
            teacher=ingredients.teacher(),
            on_epoch=lambda epoch, loss: on_epoch(epoch, recipe.epochs),
        )
    except TrainingError as error:
        return FineTuneResult(before, {**entry, judged: scores, "shipped": "before", "failed": error.met}, False)
    last = estimate(after, network, dataset.validation)
    scores["after"], scores["difference"] = score_entry(last), score_entry(paired_difference(last, first))
    sign = 1 if network.task.quality.goal == "max" else -1
    better = sign * scores["after"]["value"] >= sign * scores["before"]["value"]
    entry |= {judged: scores, "shipped": "after" if better else "before"}
    return FineTuneResult(after if better else before, entry, better)


def measured(score: Estimate, split: Split, samples: str) -> dict[str, Any]:
    """Return the manifest's entry on a score of a split; `samples` is what its samples are called."""
    return {"value": score.value, "error": score.error, samples: len(split), "origin": "measured"}
