"""Experiments that a user names."""

from __future__ import annotations

from pathlib import Path

from hwnas.config import Experiment, read_experiment
from hwnas.data import check_data
from hwnas.io.resources import find_file
from hwnas.registry import check_reference


def experiment_of(reference: str | Path) -> tuple[Path, Experiment]:
    """Return the file of the experiment that a reference names, and the experiment; its space is not examined.

    Raises:
        ConfigError: there is none, or it is invalid.
    """
    inside = Path(reference) / "experiment.yaml"
    path = inside if inside.is_file() else find_file(reference, "experiments")
    return path, read_experiment(path)


def check_references(experiment: Experiment, base: Path) -> None:
    """Refuse unknown data, and functions of files that are not there; nothing of them is read.

    Raises:
        ConfigError: an experiment names one.
    """
    if experiment.data is not None:
        check_data(experiment.data, base=base)
    named = {
        "accuracy.source": experiment.accuracy.source,
        "train: strategy": experiment.train.strategy,
        "train: teacher": experiment.train.teacher,
    }
    for where, reference in named.items():
        if reference is not None and ":" in reference:
            check_reference(reference, base=base, where=where)
