"""Classes of a trained network and of new data, matched by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hwnas.data import Dataset, Split


@dataclass(frozen=True)
class ClassMatch:
    """Classes that a network knows, and those that it is to know.

    Args:
        old: names of the network's classes; empty if they are not known.
        new: names of the classes of the adapted network.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]

    @staticmethod
    def of(old: Sequence[str], data: Sequence[str], *, keep: bool = False) -> ClassMatch:
        """Return the match of a network's classes with those of data; with `keep` all old ones stay.

        Example:
            >>> ClassMatch.of(["cat", "dog"], ["dog", "fox"], keep=True).new
            ('cat', 'dog', 'fox')
        """
        new = (*old, *(name for name in data if name not in old)) if keep else tuple(data)
        return ClassMatch(tuple(old), new)

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of classes that keep their rows, in the order of the new ones."""
        return tuple(name for name in self.new if name in self.old)

    @property
    def columns(self) -> tuple[int, ...]:
        """Places of the shared classes among the new ones."""
        return tuple(self.new.index(name) for name in self.shared)

    @property
    def old_columns(self) -> tuple[int, ...]:
        """Places of the shared classes among the old ones."""
        return tuple(self.old.index(name) for name in self.shared)

    def as_dict(self) -> dict[str, list[str]]:
        """Return what becomes of the classes, by their names."""
        return {
            "kept": list(self.shared),
            "new": [name for name in self.new if name not in self.old],
            "left_out": [name for name in self.old if name not in self.new],
        }

    def lines(self) -> list[str]:
        """Return what becomes of the classes, as lines."""
        if not self.old:
            return [f"{len(self.new)} classes begin anew: those of the network have no names"]
        if not self.shared:
            return [f"no class of the data has the name of one that the network knows: all {len(self.new)} begin anew"]
        _, fresh, gone = self.as_dict().values()
        parts = [f"{len(self.shared)} classes keep their rows"]
        parts += (
            [f"{len(fresh)} begin anew ({', '.join(fresh[:5])}{', ...' if len(fresh) > 5 else ''})"] if fresh else []
        )
        parts += [f"{len(gone)} are left out ({', '.join(gone[:5])}{', ...' if len(gone) > 5 else ''})"] if gone else []
        return ["; ".join(parts)]


def relabelled(split: Split, own: Sequence[str], classes: Sequence[str]) -> Split:
    """Return the samples of a split whose class is among `classes`, with labels that count these."""
    table = torch.tensor([classes.index(name) if name in classes else -1 for name in own])
    labels = table[split.targets]
    kept = labels >= 0
    learned = None if split.training_targets is None else table[split.training_targets]
    learned = None if learned is None else learned[learned >= 0]
    return replace(split, indices=split.indices[kept], targets=labels[kept], training_targets=learned)


def with_classes(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Return data whose labels count other classes, of which its own are a part."""
    own, names = dataset.class_names, tuple(classes)
    train, validation = (relabelled(split, own, names) for split in (dataset.train, dataset.validation))
    test = None if dataset.held_back is None else relabelled(dataset.held_back, own, names)
    named = dataset.name if own == names else f"{dataset.name} classes={','.join(names)}"
    return replace(dataset, name=named, class_names=names, train=train, validation=validation, held_back=test)


def normalised_as(dataset: Dataset, other: Split) -> Dataset:
    """Return data that is normalised by the mean and deviation of another data set's training samples.

    Features of a trained network are of inputs that were normalised so.
    """
    splits = {
        name: replace(split, mean=other.mean, std=other.std)
        for name in ("train", "validation", "held_back")
        if (split := getattr(dataset, name)) is not None
    }
    return replace(dataset, **splits)
