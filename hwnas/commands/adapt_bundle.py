"""A bundle alone: a head on its features, and a score of drift by its statistics."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from hwnas.adapt.board.adapt import (
    HEAD_FILE,
    AdaptableModel,
    Samples,
    drift_of,
    fit_head,
    read_samples,
    save_head,
)
from hwnas.adapt.classes import ClassMatch
from hwnas.adapt.new_data import as_data_error, read_new_data
from hwnas.commands.adapt_sources import is_bundle
from hwnas.commands.adaptation import Adaptation
from hwnas.errors import ConfigError
from hwnas.tasks import DEFAULT_TASK
from hwnas.words import counted
from hwnas.workspace.workspace import open_run


def head_of_bundle(target: str, data: str, out: Path | None, *, keep: bool) -> Adaptation:
    """Fit a head on the features of a bundle's first file, and write it beside it."""
    with as_data_error():
        model = AdaptableModel(Path(target))
        model.old_head()
        samples = samples_of(data, model)
        samples = replace(samples, classes=ClassMatch.of(model.classes, samples.classes, keep=keep).new)
        fit = fit_head(model, samples, data)
    path = out or Path(target) / HEAD_FILE
    save_head(fit.head, path)
    classes = ClassMatch.of(model.classes, fit.head.classes).as_dict()
    report = {
        "target": target,
        "data": data,
        "classes": classes,
        "penalty": fit.strength,
        "held_out": {"accuracy": fit.accuracy, "samples": fit.samples},
        "files": [str(path)],
    }
    said = "not judged"
    if fit.accuracy is not None:
        said = f"accuracy {fit.accuracy:.1%} on {counted(fit.samples, 'held-out sample')}"
    lines = (f"{len(fit.head.classes)} classes, {len(classes['kept'])} keep their rows; {said}", f"wrote {path}")
    return Adaptation("head", str(path.parent), report, lines)


def samples_of(data: str, model: AdaptableModel) -> Samples:
    """Return raw samples of an archive, or the training samples of a data set."""
    if Path(data).suffix == ".npz":
        return read_samples(Path(data), model.classes)
    import torch

    read = read_new_data(data, seed=0, task=DEFAULT_TASK)
    split, names = read.dataset.train, read.dataset.class_names
    raw = split.inputs.take(split.indices[torch.arange(len(split))])
    labels = [names[label] for label in split.targets.tolist()]
    return Samples(raw.numpy(), labels, names, model.raw_steps)


def watched(target: str, data: str, tier: str | None, runs: Path) -> Adaptation:
    """Compare data with the statistics of a bundle, or of a run's."""
    folder = Path(target)
    if not is_bundle(target):
        run = open_run(target, runs=runs)
        folder = run.folder / "bundle" / (tier or next(iter(run.experiment.tiers)))
        if not is_bundle(str(folder)):
            raise ConfigError(
                "there is no bundle, whose statistics data is compared with",
                where=str(folder),
                allowed="`hwnas export` writes it",
                do=f"Run `{run.command('export')}` first",
            )
    with as_data_error():
        model = AdaptableModel(folder)
        drift = drift_of(model, samples_of(data, model), data)
    return Adaptation("watch", "", {**asdict(drift), "drifted": drift.drifted}, (drift.line(),), drift.drifted)
