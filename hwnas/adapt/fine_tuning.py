"""Fine-tuning on other data: the network before as teacher, rehearsed samples, rates by depth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.adapt.classes import ClassMatch, relabelled
from hwnas.data import Dataset, Split
from hwnas.data.batches import batches
from hwnas.errors import ConfigError
from hwnas.network import Network
from hwnas.supernet import Recipe
from hwnas.supernet.batchnorm import estimate, recalibrate
from hwnas.supernet.training.standalone import train_standalone
from hwnas.supernet.training.teacher import AtItsResolution
from hwnas.tasks import paired_difference
from hwnas.tasks.classification import Classification
from hwnas.tasks.ends import Tensors

LAYER_DECAY = 0.75
"""Factor of the rate from each operator to the one before it."""
GENTLE_SHARE = 0.2
"""Share of the recipe's peak rate with which trained weights are trained on."""
MOST_TEACHER_WEIGHT = 0.5
LEAST_SAMPLES = 64
"""Fewest samples from which normalisation statistics are recomputed."""
STATISTICS_BATCH = 128
TEACHER = "the network before"


@dataclass(frozen=True, eq=False)
class OldData:
    """Samples that a network was trained on, normalised as for it, with their own labels."""

    dataset: Dataset
    rehearsed: int
    """Number of its training samples that are trained on again."""


@final
@dataclass(frozen=True, eq=False)
class Joined:
    """Inputs of several splits, normalised and of one size."""

    splits: tuple[Split, ...]
    shape: tuple[int, ...]
    fitted: Callable[[Tensors], Tensors]

    def __len__(self) -> int:
        return sum(map(len, self.splits))

    def take(self, indices: Tensor) -> Tensor:
        taken, begin = torch.empty(len(indices), *self.shape), 0
        for split in self.splits:
            own = (indices >= begin) & (indices < begin + len(split))
            if own.any():
                taken[own] = self.fitted(split.batch(indices[own] - begin))
            begin += len(split)
        return taken


def joined(one: Split, other: Split, network: Network) -> Split:
    """Return the samples of two splits as one, in one random order, as a network takes them."""

    def fitted(inputs: Tensors) -> Tensors:
        return network.task.fitted(inputs, network.input_shape)

    targets = torch.cat([one.targets, other.targets])
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    inputs = Joined((one, other), network.input_shape, fitted)
    return Split(inputs, order, targets[order], torch.zeros(1), torch.ones(1))


@final
class KnownClasses(nn.Module):
    """A network as one of other classes: its logits in their places, and one number for classes that it does not know.

    Args:
        module: the network.
        match: of its classes with the others.
        unknown: logit of classes that it does not know; by default so low that it never names them.
    """

    def __init__(self, module: nn.Module, match: ClassMatch, unknown: float = -1e9) -> None:
        super().__init__()
        self.module = module
        self.match = match
        self.unknown = unknown

    def forward(self, x: Tensor) -> Tensor:
        known: Tensor = self.module(x)
        logits = known.new_full((len(known), len(self.match.new)), self.unknown)
        logits[:, list(self.match.columns)] = known[:, list(self.match.old_columns)]
        return logits


@dataclass(frozen=True, eq=False)
class FineTuning:
    """A network to be trained on, with all that it learns from.

    Args:
        network: with the new classes.
        start: its module, with the new head.
        before: the module that it was, which is the teacher.
        match: of the classes.
        dataset: the new data, with the classes of the new head.
        old: the data before, if it is at hand.
        agreed: accuracy of the network before on the new data, which its share as teacher is in proportion to.
    """

    network: Network
    start: nn.Module
    before: nn.Module
    match: ClassMatch
    dataset: Dataset
    old: OldData | None
    agreed: float

    @property
    def teaches(self) -> bool:
        """True if the network before knows two or more of the classes, and names them at times."""
        return len(self.match.shared) > 1 and self.agreed > 0

    def recipe(self, recipe: Recipe, epochs: int) -> Recipe:
        """Return the recipe of the fine-tuning, from that of the training before."""
        gentle = replace(_gentle(recipe, epochs, len(self.dataset.train)), layer_decay=LAYER_DECAY)
        if not self.teaches:
            return gentle
        return replace(gentle, teacher=TEACHER, distill_weight=MOST_TEACHER_WEIGHT * self.agreed)

    def run(
        self, recipe: Recipe, *, seed: int, folder: Path, device: str, on_epoch: Callable[[int, float], None]
    ) -> nn.Module:
        """Return the trained module, in eval mode."""
        kind, teacher = self.network.kind, None
        if self.teaches:
            teacher = KnownClasses(AtItsResolution(self.before, self.network), self.match, unknown=0.0)
            if len(self.match.shared) < len(self.match.new) and isinstance(kind, Classification):
                kind = replace(kind, taught=self.match.columns)
        network, data = replace(self.network, kind=kind), self.dataset
        if self.old is not None and self.old.rehearsed:
            stored = relabelled(self.old.dataset.train, self.old.dataset.class_names, self.match.new)
            name = f"{data.name} rehearsed={self.old.rehearsed}"
            mixed = joined(data.train, stored.first(self.old.rehearsed), network)
            data = replace(data, name=name, train=mixed)
        return train_standalone(
            network,
            data,
            recipe,
            seed=seed,
            start=self.start,
            folder=folder,
            device=device,
            teacher=teacher,
            on_epoch=on_epoch,
        )

    def forgetting(self, after: nn.Module) -> dict[str, Any] | None:
        """Return accuracies before and after on old validation samples of classes that stay; None without any."""
        if self.old is None:
            return None
        data = self.old.dataset
        kept = relabelled(data.validation, data.class_names, self.match.new)
        if not len(kept):
            return None
        known = KnownClasses(self.before, self.match)
        first, last = estimate(known, self.network, kept), estimate(after, self.network, kept)
        apart = paired_difference(last, first)
        return {
            "samples": len(kept),
            "before": first.value,
            "after": last.value,
            "difference": {"value": apart.value, "error": apart.error},
        }


def _gentle(recipe: Recipe, epochs: int, samples: int) -> Recipe:
    """Return a recipe for weights that are trained already, on so many samples."""
    return replace(
        recipe,
        epochs=epochs,
        learning_rate=GENTLE_SHARE * recipe.learning_rate,
        warm_up_epochs=0.0,
        batch_size=min(recipe.batch_size, max(2, samples // 4)),
        processes=1,
        teacher=None,
    )


def tuned_scales(
    module: nn.Module,
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    epochs: int,
    *,
    seed: int,
    on_epoch: Callable[[int, float], None],
) -> nn.Module:
    """Return a copy of a module whose normalisations' scales and shifts were trained on, and nothing else.

    Raises:
        ConfigError: they have none.
        TrainingError: the training diverged.
    """
    start = copy.deepcopy(module).requires_grad_(False)
    for child in start.modules():
        if isinstance(child, _BatchNorm):
            child.requires_grad_(True)
    if not any(value.requires_grad for value in start.parameters()):
        raise ConfigError(
            "the network's normalisations have no scales and shifts",
            where="hwnas adapt: --epochs",
            allowed="`--how norm` with epochs trains those of batch normalisation, unless it was made without",
            do="Leave --epochs out, which recomputes statistics alone, or take `--how full`",
        )
    gentle = _gentle(recipe, epochs, len(dataset.train))
    return train_standalone(network, dataset, gentle, seed=seed, start=start, on_epoch=on_epoch).requires_grad_(True)


def statistics_layers(module: nn.Module) -> int:
    """Return the number of normalisation layers that keep statistics."""
    return sum(isinstance(child, _BatchNorm) for child in module.modules())


def recalibrated(module: nn.Module, network: Network, split: Split, *, where: str) -> nn.Module:
    """Return a copy of a module with normalisation statistics of the inputs of a split; labels are not looked at.

    Raises:
        ConfigError: the module keeps no statistics, or the samples are too few.
    """
    if not statistics_layers(module):
        raise ConfigError(
            "the network has no layer that keeps normalisation statistics",
            where=where,
            allowed="Batch normalisation keeps them; layer normalisation computes them for each sample anew",
            do="Take `--how head` or `--how full`",
        )
    if len(split) < LEAST_SAMPLES:
        raise ConfigError(
            f"there are {len(split)} samples",
            where=where,
            allowed=f"Normalisation statistics are means over at least {LEAST_SAMPLES} samples",
            do="Bring more, with or without labels",
        )

    def inputs() -> Iterator[Tensors]:
        for batch in batches(split, min(STATISTICS_BATCH, len(split)), drop_last=True):
            yield batch.inputs

    return recalibrate(copy.deepcopy(module), network, inputs())
