"""Splits by group: no group is in two splits, and classes are in each as nearly as groups allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hwnas.data import Dataset
from hwnas.data.load import Options, split_source
from hwnas.data.source import Pool, Source, Stored
from hwnas.errors import DataError
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.regression import Regression

SPLITS = ("train", "validation", "test")


def made(groups: Any, labels: Any, *, seed: int = 0, task: Task = DEFAULT_TASK, **options: Any) -> Dataset:
    groups, labels = np.asarray(groups), torch.as_tensor(np.asarray(labels))
    pool = Pool(Stored(torch.randn(len(groups), 2, 5)), labels, "made", groups)
    names = tuple("abc") if task.class_count(labels) else ()
    return split_source(Source(names, {"train": pool}), Options(**options), seed=seed, name="made", task=task)


def groups_of(dataset: Dataset, groups: Any) -> list[set[Any]]:
    return [set(np.asarray(groups)[getattr(dataset, split).indices].tolist()) for split in SPLITS]


def subjects(seed: int, count: int) -> tuple[Any, Any]:
    """Groups of unlike sizes, in which classes are unlike often."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(10, 60, count)
    groups = np.repeat(np.arange(count), sizes)
    labels = np.concatenate([rng.choice(3, size, p=rng.dirichlet([2, 2, 2])) for size in sizes])
    order = rng.permutation(len(groups))
    return groups[order], labels[order]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [7, 12, 40, 300])
def test_no_group_is_in_two_splits_and_no_sample_is_lost(seed: int, count: int) -> None:
    groups, labels = subjects(seed, count)
    dataset = made(groups, labels, seed=seed)
    train, validation, test = groups_of(dataset, groups)
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert torch.equal(
        torch.cat([getattr(dataset, split).indices for split in SPLITS]).sort().values, torch.arange(len(groups))
    )


@pytest.mark.parametrize(("count", "most"), [(12, 0.12), (40, 0.05), (300, 0.02)])
def test_classes_are_as_frequent_in_every_split_as_groups_allow(count: int, most: float) -> None:
    groups, labels = subjects(1, count)
    dataset = made(groups, labels)
    whole = np.bincount(labels)
    for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        found = getattr(dataset, split).targets.bincount(minlength=3).numpy()
        assert (np.abs(found / whole - share) < most).all(), (split, found / whole)


def test_groups_of_one_sample_are_split_like_samples() -> None:
    labels = np.arange(300) % 3
    dataset = made(np.arange(300), labels)
    assert [len(getattr(dataset, split)) for split in SPLITS] == [210, 30, 60]
    assert dataset.test.targets.bincount().tolist() == [20, 20, 20]


def test_the_seed_decides() -> None:
    groups, labels = subjects(0, 40)
    one, again, other = (made(groups, labels, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.test.indices, again.test.indices)
    assert groups_of(one, groups) != groups_of(other, groups)


def test_a_class_of_few_groups_is_left_to_training() -> None:
    groups = np.repeat(np.arange(8), 10)
    labels = np.where(groups == 3, 2, np.arange(80) % 2)
    dataset = made(groups, labels)
    assert 3 in groups_of(dataset, groups)[0]


def test_texts_are_groups_and_numbers_may_be_targets() -> None:
    groups = np.repeat(["ann", "bob", "cat", "dan"], 5)
    dataset = made(groups, np.linspace(0, 1, 20), task=Regression())
    assert sorted(map(len, groups_of(dataset, groups))) == [1, 1, 2]
    assert set.union(*groups_of(dataset, groups)) == {"ann", "bob", "cat", "dan"}


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(DataError, match="there are 2 groups for 3 splits"):
        made([0] * 9 + [1] * 9, np.arange(18) % 3)


def test_without_groups_splits_are_what_they_were() -> None:
    """Indices that this seed gave before there were groups."""
    pool = Pool(Stored(torch.zeros(12, 1, 2)), torch.arange(12) % 3, "made")
    dataset = split_source(Source(tuple("abc"), {"train": pool}), Options(), seed=3, name="made")
    assert {split: getattr(dataset, split).indices.tolist() for split in SPLITS} == BEFORE


BEFORE = {"train": [9, 11, 6, 10, 7, 2], "validation": [0, 1, 8], "test": [3, 5, 4]}


def test_groups_are_there_for_each_split_or_for_none() -> None:
    labels = torch.arange(12) % 3
    one = Pool(Stored(torch.zeros(12, 1, 2)), labels, "made", np.arange(12))
    other = Pool(Stored(torch.zeros(12, 1, 2)), labels, "made")
    with pytest.raises(DataError, match="some splits have groups and others have none"):
        split_source(Source(tuple("abc"), {"train": one, "test": other}), Options(), seed=0, name="made")
