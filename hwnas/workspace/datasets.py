"""The data of an experiment, once it is known to fit the space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.config import Experiment
from hwnas.data import load_data
from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import bound_task, lower
from hwnas.space import AnySpace
from hwnas.tasks import TensorSpec
from hwnas.workspace.paths import RunPaths

if TYPE_CHECKING:
    from hwnas.data import Dataset


def load_dataset(experiment: Experiment, space: AnySpace, paths: RunPaths) -> Dataset:
    """Return the data with its test split; only the final report may touch that.

    Raises:
        ConfigError: no data is named, or it does not fit the space.
    """
    where = f"experiment `{experiment.name}`"
    if experiment.data is None:
        raise ConfigError(
            "no data is named",
            where=where,
            allowed="Training and exporting need data; a search does where its accuracies do",
            do="Add `data`",
        )
    dataset = load_data(experiment.data, seed=experiment.seed, base=paths.base, task=bound_task(space))
    for network in (lower(space, space.smallest()), lower(space, space.largest())):
        network.task.check_data(dataset.shape, dataset.width, where=where)
        _check_values(dataset, network.task.inputs[0], where)
        network.task.check_network(network.costs[-1].output_shape, where=where)
        dataset.train.fit(network.task).check_targets(dataset.train.targets, dataset.validation.targets, where=where)
    return dataset


def _check_values(dataset: Dataset, spec: TensorSpec, where: str) -> None:
    """Refuse whole numbers where networks take others, others where they take whole ones, and too large ones."""
    largest = dataset.largest_whole
    if (largest is not None) != ("int" in spec.dtype):
        held, taken = (
            ("whole numbers (int64)", spec.dtype) if largest is not None else ("numbers (float32)", spec.dtype)
        )
        raise ConfigError(
            f"the data holds {held}, the networks take {taken}",
            where=where,
            allowed="Tokens are whole numbers, for an input of `dtype: int64`; all others are floating-point numbers",
            do="Change `input.dtype` of the space, or convert the data",
        )
    if largest is not None and spec.below is not None and largest >= spec.below:
        raise ConfigError(
            f"the data holds {largest}, the networks take whole numbers below {spec.below}",
            where=where,
            allowed="`input.below` of the space is larger than all numbers of the data",
            do="Raise `below`, or correct the data",
        )


def check_augmentation(experiment: Experiment, space: AnySpace) -> None:
    """Refuse an augmentation that the space's task does not know.

    Raises:
        ConfigError: it does not.
    """
    known = bound_task(space).augmentations
    if (augment := experiment.train.augment) not in known:
        raise ConfigError(
            f"`augment` is {augment!r}",
            where=f"experiment `{experiment.name}`: train",
            allowed=did_you_mean(augment, known),
            do="Use a known augmentation",
        )
