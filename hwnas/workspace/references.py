"""Experiments that a user names."""

from __future__ import annotations

from pathlib import Path

from hwnas.config import Experiment, read_experiment
from hwnas.io.resources import find_file


def experiment_of(reference: str | Path) -> tuple[Path, Experiment]:
    """Return the file of the experiment that a reference names, and the experiment; its space is not examined.

    Raises:
        ConfigError: there is none, or it is invalid.
    """
    inside = Path(reference) / "experiment.yaml"
    path = inside if inside.is_file() else find_file(reference, "experiments")
    return path, read_experiment(path)
