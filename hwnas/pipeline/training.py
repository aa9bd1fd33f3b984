"""Training the supernet of a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.resolutions import resizing
from hwnas.pipeline.teaching import open_teacher
from hwnas.pipeline.workspace import Run, open_run

if TYPE_CHECKING:
    from hwnas.supernet import Epoch, Recipe, Sorting, Step, Supernet
    from hwnas.supernet.together import Part


@dataclass(frozen=True)
class Trained:
    """A supernet, its history, which is empty where nothing was trained, and what identifies its weights."""

    supernet: Supernet
    history: tuple[Epoch, ...]
    weights: str


def train(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> list[Epoch]:
    """Train the supernet of an experiment; started again, it continues after the last finished epoch."""
    run = open_run(reference, runs=runs, narrator=narrator)
    with run.opened():
        return list(train_run(run, narrator or Silent()).history)


def train_run(run: Run, narrator: Narrator) -> Trained:
    """Train, or continue, or just load what is finished."""
    from hwnas.supernet import train as train_supernet
    from hwnas.supernet.together import Heard, train_together

    if (notice := resizing(run.space, run.dataset.resolution)) is not None:
        narrator.say(notice)
    supernet, recipe = _prepared(run), recipe_of(run)
    with run.timed("training"), narrator.bar("training the supernet") as bar:
        last = ""

        def on_step(step: Step) -> None:
            bar.update((step.epoch - 1) + step.step / step.steps, step.epochs, f"{last}loss {step.loss:.3f}")

        def on_epoch(epoch: Epoch) -> None:
            nonlocal last
            last = f"validation: smallest {epoch.smallest:.1%}, largest {epoch.largest:.1%} · "
            bar.update(epoch.epoch, recipe.epochs, f"{last}loss {epoch.loss:.3f}")

        def on_sort(epoch: int, sorting: Sorting) -> None:
            narrator.say(_sorted(epoch, sorting))

        if recipe.processes > 1 and not _finished(run, recipe):
            heard = Heard(on_step, on_epoch, on_sort, narrator.say)
            train_together(
                partial(open_part, run.folder.absolute()), recipe.processes, launcher=recipe.launcher, heard=heard
            )
        history = train_supernet(
            supernet,
            run.space,
            run.dataset.without_test(),
            recipe,
            run.train_folder,
            seed=run.experiment.seed,
            teacher=open_teacher(run),
            base=run.base,
            on_step=on_step,
            on_epoch=on_epoch,
            on_sort=on_sort,
            on_trouble=narrator.say,
        )
    return _trained(supernet, history)


def open_part(folder: Path, number: int) -> Part:
    """What one of several processes trains: all of the run, opened anew from its folder; on GPU `number`, if any."""
    import torch

    from hwnas.supernet.together import Part

    run = open_run(folder)
    device = torch_device(run.experiment.device)
    own = f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device
    return Part(
        _prepared(run).to(own),
        run.space,
        run.dataset.without_test(),
        recipe_of(run),
        run.train_folder,
        run.experiment.seed,
        run.base,
        open_teacher(run),
    )


def _finished(run: Run, recipe: Recipe) -> bool:
    """Whether the checkpoints say that nothing is left to train."""
    from hwnas.supernet.checkpoint import checkpoints

    found = checkpoints(run.train_folder)
    return bool(found) and found[-1].stem == f"checkpoint-{recipe.epochs:04d}"


def _sorted(epoch: int, sorting: Sorting) -> str:
    """What a sorting did, in a line; groups that stay are named with their reason."""
    stay = "; ".join(f"{group.name} ({group.fixed})" for group in sorting.fixed)
    kept = f", {len(sorting.fixed)} stay as they are: {stay}" if stay else ""
    return f"before epoch {epoch}: {len(sorting.sorted)} groups of channels sorted{kept}"


def load_run(run: Run, narrator: Narrator) -> Trained:
    """The trained supernet of a run; a training that stopped early is told.

    Raises:
        RunError: it was not trained yet, the checkpoint is damaged, or it is of other data, seed or recipe.
    """
    from hwnas.supernet import identity_of, load_trained

    supernet, recipe = _prepared(run), recipe_of(run)
    identity = identity_of(run.space, run.dataset, recipe, run.experiment.seed)
    history, path = load_trained(supernet, run.train_folder, identity)
    if len(history) < recipe.epochs:
        after = f"{len(history)} of {recipe.epochs} epochs"
        narrator.say(f"{path}: training stopped after {after}; `{run.command('train')}` continues it")
    return _trained(supernet, history)


def supernet_of(run: Run, narrator: Narrator) -> Trained | None:
    """The trained supernet; None where the run's accuracies need none and none was trained.

    Raises:
        RunError: as `load_run`.
    """
    from hwnas.supernet.checkpoint import checkpoints

    return load_run(run, narrator) if run.source.supernet or checkpoints(run.train_folder) else None


def untrained(run: Run) -> Trained:
    """A supernet with its first random weights."""
    return _trained(_prepared(run), [])


def _prepared(run: Run) -> Supernet:
    """The untrained supernet on its device, PyTorch's threads set as the experiment says."""
    import torch

    from hwnas.supernet import Supernet

    if run.experiment.threads is not None:
        torch.set_num_threads(run.experiment.threads)
    transform = run.experiment.train.kernel_transform
    supernet = Supernet(run.space, seed=run.experiment.seed, kernel_transform=transform)
    return supernet.to(torch_device(run.experiment.device))


def recipe_of(run: Run) -> Recipe:
    """How the run's supernet is trained."""
    from hwnas.supernet import Recipe

    return Recipe(**run.experiment.train.model_dump())


def _trained(supernet: Supernet, history: list[Epoch]) -> Trained:
    digest = hashlib.sha256()
    for name, value in sorted(supernet.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return Trained(supernet, tuple(history), digest.hexdigest()[:12])


def torch_device(name: str) -> str:
    """`auto` becomes cuda where there is one.

    Raises:
        ConfigError: the named device is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}
    if (device.index or 0) >= there[device.type]:
        raise ConfigError(
            f"`device: {name}` is asked for, but PyTorch finds {there[device.type]} {device.type} devices",
            where="experiment",
            allowed="auto, cpu, or a device that PyTorch finds",
            do="Use `device: auto`",
        )
    return name
