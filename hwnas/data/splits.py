"""Which sample is in which split: by the seed, the targets and the groups alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.source import Pool, SplitName
from hwnas.errors import DataError
from hwnas.tasks import Task

EXCHANGES = 20
"""Most changes that bring the shares of grouped splits nearer."""
_DO = "Add groups, lower the shares `validation` and `test`, or bring the splits yourself"


def check_disjoint(pools: Mapping[SplitName, Pool]) -> None:
    """Refuse splits of a user's that share a group, and those of which only some have groups.

    Raises:
        DataError: they do.
    """
    given = [pool.groups is not None for pool in pools.values()]
    if any(given) and not all(given):
        raise DataError(
            "some splits have groups and others have none",
            where=pools["train"].where,
            allowed="Groups are there for each split, or for none",
            do="Add the missing ones",
        )
    seen: dict[object, SplitName] = {}
    for split, pool in pools.items():
        for group in () if pool.groups is None else np.unique(pool.groups).tolist():
            if group in seen:
                raise DataError(
                    f"the group `{group}` is in `{seen[group]}` and in `{split}`",
                    where=pool.where,
                    allowed="All samples of a group, such as a subject, are in one split",
                    do="Move them, or leave the groups out",
                )
            seen[group] = split


def stratified(
    pool: Pool,
    class_names: tuple[str, ...],
    shares: Mapping[SplitName, float],
    generator: torch.Generator,
    task: Task,
) -> dict[SplitName, Tensor]:
    """Return indices by split: each class's share, at least one sample, in random order; the rest is for training.

    Where the task has no classes, shares are those of all samples.
    """
    strata = task.strata(pool.targets)
    if strata is None:
        groups = {"the data": torch.ones(len(pool.targets), dtype=torch.bool)}
    else:
        groups = {f"class `{name}`": strata == label for label, name in enumerate(class_names)}
    parts: dict[SplitName, list[Tensor]] = {"train": [], **{key: [] for key in shares}}
    for group, inside in groups.items():
        members = torch.nonzero(inside).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = {key: max(1, round(share * len(members))) for key, share in shares.items()}
        if len(members) <= sum(sizes.values()):
            raise DataError(
                f"{group} has {len(members)} {task.terms.samples}",
                where=pool.where,
                allowed=f"Each class needs at least one {task.terms.sample} for each of {', '.join(parts)}",
                do=f"Add {task.terms.samples}, or lower the shares `validation` and `test`",
            )
        for key, chosen in zip(
            parts, torch.split(members, [len(members) - sum(sizes.values()), *sizes.values()]), strict=True
        ):
            parts[key].append(chosen)
    together = {key: torch.cat(chosen) for key, chosen in parts.items()}
    return {key: indices[torch.randperm(len(indices), generator=generator)] for key, indices in together.items()}


def grouped(
    pool: Pool,
    class_names: tuple[str, ...],
    shares: Mapping[SplitName, float],
    generator: torch.Generator,
    task: Task,
) -> dict[SplitName, Tensor]:
    """Return indices by split, each group whole: shares and classes are met as nearly as groups allow.

    Groups are taken in order of size, equal ones at random, each by the split that lacks it most; then groups are moved
    and exchanged while that brings the shares of classes nearer.

    Raises:
        DataError: there are fewer groups than splits, or no split into groups has every class in training.
    """
    assert pool.groups is not None
    names: list[SplitName] = ["train", *shares]
    wanted = np.array([1 - sum(shares.values()), *shares.values()])
    groups, members = np.unique(pool.groups, return_inverse=True)
    if len(groups) < len(names):
        raise DataError(
            f"there are {len(groups)} groups for {len(names)} splits",
            where=pool.where,
            allowed=f"Each of {', '.join(names)} has one group or more, and a group is in one split",
            do=_DO,
        )
    strata = task.strata(pool.targets)
    labels = np.zeros(len(members), np.int64) if strata is None else strata.numpy()
    counts = np.zeros((len(groups), int(labels.max()) + 1))
    np.add.at(counts, (members, labels), 1)
    choice = _Assignment(counts, wanted, torch.randperm(len(groups), generator=generator).numpy())
    choice.improve()
    for label in np.flatnonzero((choice.held[0] == 0) & (counts.sum(0) > 0)).tolist():
        of_class = int((counts[:, label] > 0).sum())
        raise DataError(
            f"the class `{class_names[label]}` has {of_class} groups, and none is left to train on",
            where=pool.where,
            allowed="Every class has groups for training beside those of the other splits",
            do=_DO,
        )
    splits = torch.from_numpy(choice.split[members])
    parts = {name: torch.nonzero(splits == number).flatten() for number, name in enumerate(names)}
    return {name: part[torch.randperm(len(part), generator=generator)] for name, part in parts.items()}


class _Assignment:
    """Each group's split, and how far the shares are from those that are wanted.

    The distance sums, over splits and classes, the squared difference of the share; a class that a split lacks costs 1,
    in training 3.
    """

    def __init__(self, counts: NDArray[np.float64], wanted: NDArray[np.float64], order: NDArray[np.int64]) -> None:
        present = counts.sum(0) > 0
        self.counts = counts[:, present] / counts[:, present].sum(0)
        self.wanted = wanted
        self.split = np.full(len(counts), -1)
        self.order = order[np.argsort(-counts[order].sum(1), kind="stable")]
        self.shares = np.zeros((len(wanted), self.counts.shape[1]))
        for number, group in enumerate(self.order):
            empty = np.flatnonzero(np.bincount(self.split[self.split >= 0], minlength=len(wanted)) == 0)
            left = len(self.order) - number
            options: Sequence[int] = empty.tolist() if left <= len(empty) else range(len(wanted))
            self.put(int(group), min(options, key=lambda to: self._after((int(group), to))))
        self.present = present

    @property
    def held(self) -> NDArray[np.float64]:
        """(splits, classes) shares that the splits have; of a class without samples, 0."""
        shares = np.zeros((len(self.wanted), len(self.present)))
        shares[:, self.present] = self.shares
        return shares

    def put(self, group: int, to: int) -> None:
        if self.split[group] >= 0:
            self.shares[self.split[group]] -= self.counts[group]
        self.shares[to] += self.counts[group]
        self.split[group] = to
        self.shares[np.abs(self.shares) < 1e-12] = 0

    def improve(self) -> None:
        """Move and exchange groups while the distance falls."""
        for _ in range(EXCHANGES):
            best = self._distance(self.shares)
            for change in self._changes():
                if (after := self._after(*change)) < best - 1e-12:
                    best = after
                    for group, to in change:
                        self.put(group, to)
                    break
            else:
                return

    def _changes(self) -> Iterator[tuple[tuple[int, int], ...]]:
        sizes = np.bincount(self.split, minlength=len(self.wanted))
        order = self.order[:200].tolist()
        for group in order:
            if sizes[self.split[group]] > 1:
                yield from (((group, to),) for to in range(len(self.wanted)) if to != self.split[group])
        for one in order[:60]:
            for other in order[:60]:
                if self.split[one] < self.split[other]:
                    yield (one, int(self.split[other])), (other, int(self.split[one]))

    def _after(self, *change: tuple[int, int]) -> float:
        shares = self.shares.copy()
        for group, to in change:
            if self.split[group] >= 0:
                shares[self.split[group]] -= self.counts[group]
            shares[to] += self.counts[group]
        return self._distance(shares)

    def _distance(self, shares: NDArray[np.float64]) -> float:
        lacks = shares < 1e-9
        return float(np.square(shares - self.wanted[:, None]).sum() + lacks[1:].sum() + 3 * lacks[0].sum())
