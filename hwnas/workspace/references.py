"""The experiment that a person names."""

from __future__ import annotations

from pathlib import Path

from hwnas.config import Experiment, read_experiment
from hwnas.io.resources import find_file


def experiment_of(reference: str | Path) -> tuple[Path, Experiment]:
    """The experiment that a reference stands for, and its file; its space is not looked at.

    Raises:
        ConfigError: there is none, or it is at fault.
    """
    inside = Path(reference) / "experiment.yaml"
    path = inside if inside.is_file() else find_file(reference, "experiments")
    return path, read_experiment(path)
