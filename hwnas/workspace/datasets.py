"""The data of an experiment, once it is known to fit the space."""

from __future__ import annotations

from collections.abc import Sequence
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
        _check_below(dataset, network.task.inputs, where)
        network.task.check_network(network.costs[-1].output_shape, where=where)
        dataset.train.fit(network.task).check_targets(dataset.train.targets, dataset.validation.targets, where=where)
    return dataset


def _check_below(dataset: Dataset, inputs: Sequence[TensorSpec], where: str) -> None:
    """Refuse tokens that networks have no place for."""
    for index, spec in enumerate(inputs):
        if spec.below is None:
            continue
        low, high = dataset.ends(index)
        if low < 0 or high >= spec.below:
            raise ConfigError(
                f"the data holds {low} to {high}, the networks take whole numbers from 0 below {spec.below}",
                where=where,
                allowed="`below` of an input in the space is larger than all numbers of the data, and none is negative",
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
