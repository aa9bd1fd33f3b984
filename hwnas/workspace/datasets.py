"""The data of an experiment, once it is known to fit the space."""

from __future__ import annotations

from hwnas.config import Experiment
from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.space import AnySpace
from hwnas.workspace.paths import RunPaths
from hwnas.workspace.resolutions import refuse_oblong


def load_dataset(experiment: Experiment, space: AnySpace, paths: RunPaths) -> Dataset:
    """Return the data with its test split; only the final report may touch that.

    Raises:
        ConfigError: no data is named, or it does not fit the space.
    """
    if experiment.data is None:
        raise ConfigError(
            "no data is named",
            where=f"experiment `{experiment.name}`",
            allowed="Training and exporting need images; a search does where its accuracies do",
            do="Add `data`",
        )
    dataset = load_data(experiment.data, seed=experiment.seed, base=paths.base)
    smallest = lower(space, space.smallest())
    shape = smallest.input_shape
    classes = smallest.operators[-1].out_channels
    if (dataset.channels, dataset.classes) != (shape[0], classes):
        raise ConfigError(
            f"the data has {dataset.channels} channels and {dataset.classes} classes, the space expects "
            f"{shape[0]} and {classes}",
            where=f"experiment `{experiment.name}`",
            allowed="Data and space agree on channels and classes",
            do="Change `input.channels` and `classes` of the space, or choose other data",
        )
    refuse_oblong(space, dataset.resolution, where=f"experiment `{experiment.name}`")
    return dataset
