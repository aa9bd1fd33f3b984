"""Training the supernet of a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.workspace import Run, open_run

if TYPE_CHECKING:
    from hwnas.supernet import Epoch, Supernet


@dataclass(frozen=True)
class Trained:
    """A trained supernet, its history, and what identifies its weights."""

    supernet: Supernet
    history: tuple[Epoch, ...]
    checkpoint: Path
    weights: str


def train(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> list[Epoch]:
    """Train the supernet of an experiment; started again, it continues after the last finished epoch."""
    run = open_run(reference, runs=runs)
    with run.opened():
        return list(train_run(run, narrator or Silent()).history)


def train_run(run: Run, narrator: Narrator) -> Trained:
    """Train, or continue, or just load what is finished."""
    from hwnas.supernet import Recipe, Supernet
    from hwnas.supernet import train as train_supernet

    experiment = run.experiment
    dataset = run.dataset.without_test()
    supernet = Supernet(run.space, seed=experiment.seed).to(torch_device(experiment.device))
    recipe = Recipe(**experiment.train.model_dump())
    with run.timed("training"), narrator.bar("training the supernet") as bar:
        last = ""

        def on_step(step: object) -> None:
            bar.update((step.epoch - 1) + step.step / step.steps, step.epochs, f"{last}loss {step.loss:.3f}")  # type: ignore[attr-defined]

        def on_epoch(epoch: Epoch) -> None:
            nonlocal last
            last = f"validation: smallest {epoch.smallest:.1%}, largest {epoch.largest:.1%} · "
            bar.update(epoch.epoch, recipe.epochs, f"{last}loss {epoch.loss:.3f}")

        history = train_supernet(
            supernet,
            run.space,
            dataset,
            recipe,
            run.train_folder,
            seed=experiment.seed,
            on_step=on_step,
            on_epoch=on_epoch,
        )
    return _trained(run, supernet, history)


def load_run(run: Run) -> Trained:
    """The trained supernet of a run.

    Raises:
        RunError: it was not trained yet, or the checkpoint is damaged.
    """
    from hwnas.supernet import Supernet, load_trained

    supernet = Supernet(run.space, seed=run.experiment.seed)
    history, _ = load_trained(supernet, run.train_folder)
    return _trained(run, supernet.to(torch_device(run.experiment.device)), history)


def _trained(run: Run, supernet: Supernet, history: list[Epoch]) -> Trained:
    from hwnas.supernet.checkpoint import checkpoints

    digest = hashlib.sha256()
    for name, value in sorted(supernet.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return Trained(supernet, tuple(history), checkpoints(run.train_folder)[-1], digest.hexdigest()[:12])


def torch_device(name: str) -> str:
    """`auto` becomes cuda where there is one.

    Raises:
        ConfigError: the named device is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"`device: {name}` is asked for, but PyTorch finds no CUDA device",
            where="experiment",
            allowed="auto, cpu, or a device that `torch.cuda.is_available()` confirms",
            do="Use `device: auto`",
        )
    return name
