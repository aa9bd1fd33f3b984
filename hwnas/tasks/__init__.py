"""Tasks: what goes in, what comes out, how a network learns it and how it is judged. A new one is one file, one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.registry import Family, member
from hwnas.tasks.classification import Classification
from hwnas.tasks.metrics.estimate import Estimate, binomial_error, paired_difference
from hwnas.tasks.options import named_spec, user_task, with_options
from hwnas.tasks.task import (
    NO_OPTION,
    Agreement,
    Batch,
    Sums,
    Task,
    Tensors,
    TensorSpec,
    Terms,
)

TASKS = Family(
    "tasks",
    {  # name in YAML -> its class
        "classification": "hwnas.tasks.classification:Classification",
        "multilabel": "hwnas.tasks.multilabel:Multilabel",
        "regression": "hwnas.tasks.regression:Regression",
        "segmentation": "hwnas.tasks.segmentation:Segmentation",
        "reconstruction": "hwnas.tasks.reconstruction:Reconstruction",
    },
    "hwnas.tasks.options:fault_of",
)
WIDTH_KEYS: Mapping[str, str] = {"classes": "classification", "outputs": "regression"}
"""Task of a space that names none, by the key that gives the width of its last stage."""
DEFAULT_TASK: Task = Classification()

__all__ = [
    "DEFAULT_TASK",
    "NO_OPTION",
    "TASKS",
    "WIDTH_KEYS",
    "Agreement",
    "Batch",
    "Classification",
    "Estimate",
    "Sums",
    "Task",
    "TensorSpec",
    "Tensors",
    "Terms",
    "binomial_error",
    "open_task",
    "paired_difference",
    "task_of",
]


def open_task(name: str, *, where: str) -> Task:
    """Return the task of a name, with its default options.

    Raises:
        ConfigError: there is no such task, or an installed distribution's cannot be imported.
    """
    return task_of(name, base=Path(), where=where)


def task_of(spec: str | Mapping[str, Any], *, base: Path, where: str) -> Task:
    """Return the task that a space or an experiment names, with its options.

    Args:
        spec: a name in `TASKS`, a class of the user's as `file.py:Class` or `module:Class`, or a mapping with one of
            these as `name` beside options.
        base: folder that paths begin at, beside the current one.
        where: the key that holds it, for errors.

    Raises:
        ConfigError: there is no such task, it cannot be imported or has no such option.
    """
    name, options = named_spec(spec, where=where)
    own = ":" in name
    kind = user_task(name, base=base, where=where) if own else member(TASKS, name, what="task", where=where)
    return with_options(kind, options, name=name, where=where)
