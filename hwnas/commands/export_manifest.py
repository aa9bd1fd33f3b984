"""Entries of a bundle's manifest that are not those of one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.commands.export_setups import tier_setup
from hwnas.config import published
from hwnas.export.manifest import QUALITY
from hwnas.export.staging import CARD
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.tasks import TASKS, Task
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.folder import resolved_experiment
from hwnas.workspace.measuring.remote_bench import board_table
from hwnas.workspace.measuring.setups import requested_setup, runtime_of
from hwnas.workspace.results.halving_results import HALVING_FOLDER
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


def manifest_of(
    run: Workspace, front: LoadedFront, trained: Trained, models: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the manifest of a tier's bundle, but for the list of its files; `models` are the entries of networks."""
    return {
        **made_by(run, front.tier.name, "search" if front.halving is None else HALVING_FOLDER),
        "limits": list(map(str, front.tier.limits)),
        "conditions": None if front.conditions is None else front.conditions.as_dict(),
        "solved_for": list(front.solved_for),
        "supernet": {
            "weights": trained.weights,
            "epochs": len(trained.history),
            **({} if trained.published is None else {"published": trained.published}),
        },
        **tested_on(run),
        "data": data_entry(run),
        "model_card": CARD,
        "models": list(models),
        "experiment": published(resolved_experiment(run)).model_dump(mode="json"),
    }


def made_by(run: Workspace, tier: str, front: str) -> dict[str, Any]:
    """Return the entries on what wrote a bundle, when, for which tier and on which machine.

    Args:
        run: the run, with the data that the bundle is of.
        tier: name of the tier.
        front: whose front the networks are of.
    """
    return {
        "hwnas": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tier": tier,
        "front": front,
        "setup": setup_entry(run, tier),
        "machine": machine(),
        "versions": versions(),
    }


def tested_on(run: Workspace) -> dict[str, Any]:
    """Return the entries on the quality, the samples that it was tested on, and the task."""
    quality, samples = run.space.task.quality.name, run.task.terms.samples
    return {
        **({} if quality == QUALITY else {"quality": quality}),
        f"test_{samples}": run.dataset.test_indices(samples),
        "task": task_entry(run.space.task),
    }


def setup_entry(run: Workspace, tier: str) -> dict[str, object]:
    """Return the tier's set-up: this machine's, a board's as far as its table holds it, or a file's column."""
    if run.objectives.is_published(tier):
        return published_setup(run, run.experiment.tiers[tier].setup)
    config, path = tier_setup(run, tier), run.paths.table(run.experiment.tiers[tier].setup)
    if not config.host:
        return runtime_of(config).setup.as_dict()
    return (board_table(path, requested_setup(config)).setup if path.exists() else requested_setup(config)).as_dict()


def published_setup(run: Workspace, setup: str) -> dict[str, object]:
    """Return the known fields of a set-up whose latencies are published."""
    wanted = run.published.latencies(setup).wanted
    return {
        "device": run.experiment.setups[setup].device or setup,
        "runtime": "published",
        "file": wanted.path.name,
        "column": wanted.column,
    }


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
