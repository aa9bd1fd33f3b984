"""Tasks: what goes in, what comes out, how a network learns it and how it is judged. A new one is one file, one row."""

from __future__ import annotations

from contextlib import suppress

from hwnas.errors import ConfigError
from hwnas.quantities import QUANTITIES, Quantity
from hwnas.quantities import shown_as as quantity_shown_as
from hwnas.registry import Family, member
from hwnas.tasks.image_classification import ImageClassification
from hwnas.tasks.task import Agreement, Batch, Estimate, Sums, Task, Tensors, TensorSpec, Terms, binomial_error

TASKS = Family(
    "tasks",
    {  # name in YAML -> its class
        "image_classification": "hwnas.tasks.image_classification:ImageClassification",
    },
    "hwnas.tasks.task:no_task",
)
DEFAULT = "image_classification"
"""Task of a space that names none."""
DEFAULT_TASK: Task = ImageClassification()

__all__ = [
    "DEFAULT",
    "DEFAULT_TASK",
    "TASKS",
    "Agreement",
    "Batch",
    "Estimate",
    "ImageClassification",
    "Sums",
    "Task",
    "TensorSpec",
    "Tensors",
    "Terms",
    "binomial_error",
    "metric_named",
    "open_task",
    "shown_as",
]


def open_task(name: str, *, where: str) -> Task:
    """Return the task of a name, with its default options.

    Raises:
        ConfigError: there is no such task, or an installed distribution's cannot be imported.
    """
    kind: type[Task] = member(TASKS, name, what="task", where=where)
    return kind()


def metric_named(name: str) -> Quantity | None:
    """Return the metric of that name of the first task that has it; None if no task does, or none that can be read."""
    for task in TASKS:
        with suppress(ConfigError):
            for metric in open_task(task, where="metrics of tasks").metrics:
                if metric.name == name:
                    return metric
    return None


def shown_as(name: str) -> Quantity:
    """Return the quantity or the task's metric of a name, or what can be said of one that is not installed here."""
    known = None if name in QUANTITIES else metric_named(name)
    return quantity_shown_as(name) if known is None else known
