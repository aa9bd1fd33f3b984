"""Files of a bundle beside its model files, of what a run knows: the self-test, the program, requirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.export.companions.program import PROGRAM, program
from hwnas.export.companions.requirements import requirements
from hwnas.io.atomic import write_file
from hwnas.tasks import TASKS, Task
from hwnas.tasks.ends import specs_of
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.export.companions.selftest import SelfTest


def self_test(run: Workspace) -> SelfTest | None:
    """Return the self-test of a run's bundles, without outputs; None if none is wanted."""
    from hwnas.export.companions.selftest import SelfTest

    count, test = run.experiment.export.selftest_samples, run.dataset.test
    if not count:
        return None
    taken = test.inputs.take(test.indices[:count])
    specs = run.task.inputs if isinstance(taken, tuple) else specs_of(run.dataset.shape)
    parts = taken if isinstance(taken, tuple) else (taken,)
    arrays = {spec.name: part.numpy() for spec, part in zip(specs, parts, strict=True)}
    return SelfTest(arrays, len(run.dataset.raw.steps))


def task_entry(task: Task) -> dict[str, Any]:
    """Return what a manifest says of a task; one of the user's own, whose metrics no program knows, has no name."""
    kind = f"{type(task).__module__}:{type(task).__qualname__}"
    name = next((name for name, row in TASKS.own.items() if row == kind), None)
    own = [one for one in fields(task) if one.metadata.get("key", one.name) not in (None, "quality")]
    values = {one.name: getattr(task, one.name) for one in own}
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    return {"name": name, "quality": task.quality.name, "options": plain}


def data_entry(run: Workspace) -> dict[str, Any]:
    """Return what a manifest says of the data."""
    return {"name": run.dataset.name, "licence": run.experiment.export.card.data_licence or None}


def write_companions(folder: Path, selftest: SelfTest | None, models: Sequence[Mapping[str, Any]]) -> None:
    """Write what a bundle carries beside its model files.

    Args:
        folder: of the bundle.
        selftest: with the outputs of all files; None if none is wanted.
        models: entries of the manifest.

    Raises:
        RunError: a file cannot be written.
    """
    write_file(folder / PROGRAM, program())
    if selftest is not None:
        selftest.write(folder)
    runtimes = {file["format"]: file["runtime"] for model in models for file in model["files"]}
    for name, text in requirements(runtimes.items()).items():
        write_file(folder / name, text)
