"""The data of an experiment, once it is known to fit the space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.config import Experiment
from hwnas.data import load_data
from hwnas.errors import ConfigError, did_you_mean
from hwnas.network import bound_task, lower
from hwnas.space import AnySpace
from hwnas.space_checks import check_outputs
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
    for end in (space.smallest(), space.largest()):
        network = lower(space, end)
        check_outputs(network, where=where)
        network.task.check_data(dataset.shape, dataset.width, where=where)
        dataset.train.fit(network.task).check_targets(dataset.train.targets, dataset.validation.targets, where=where)
    return dataset


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
