"""The study of a tier: its storage, its name, its evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.problem.accuracy import accuracy_of
from hwnas.search.consistency import stored_studies
from hwnas.search.early_stopping import EarlyStopping
from hwnas.search.evaluate import Evaluation
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


def weights_producer(run: Workspace, trained: Trained | None) -> str | None:
    """Return the producer of accuracies with the present weights; None where accuracies need no trained weights."""
    return accuracy_of(run, trained).producer if trained is not None and run.source.supernet else None


def study_evaluations(run: Workspace, name: str, study: str) -> tuple[Evaluation, ...]:
    """Return the evaluations of a study, in order; none if it is gone."""
    storage = study_storage(run, name)
    if isinstance(storage, Path) and not storage.exists():
        return ()
    evaluations = [evaluation for kept in stored_studies(storage, study) for _, evaluation in kept.evaluated]
    return tuple({evaluation.architecture.key: evaluation for evaluation in evaluations}.values())


def trials_done(run: Workspace, tier: str) -> int:
    """Return how many trials of a tier the journal in the run's folder holds; a database is not read."""
    return 0 if run.experiment.search.storage is not None else len(study_evaluations(run, tier, study_name(run, tier)))


def study_storage(run: Workspace, tier: str) -> Path | str:
    """Return the storage of a tier's studies: a journal file, or a URL."""
    return run.experiment.search.storage or run.paths.study(tier)


def study_name(run: Workspace, tier: str) -> str:
    """Return the beginning of the names of a tier's or a pair's studies."""
    return f"{run.experiment.name}-{tier}"


def early_stopping_of(run: Workspace) -> EarlyStopping:
    """Return the conditions that end a tier's search before its number of trials."""
    config = run.experiment.search
    rule = config.early_stopping
    return EarlyStopping(config.max_hours, **({} if rule is None else rule.model_dump()))
