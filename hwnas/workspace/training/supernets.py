"""The supernet of a workspace, trained or loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import ConfigError, RunError
from hwnas.io.checkpoint_files import checkpoints
from hwnas.io.checksum import sha256_of
from hwnas.words import brief
from hwnas.workspace.progress import Reporter
from hwnas.workspace.training.teacher import open_teacher
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.supernet import Epoch, Recipe, Supernet
    from hwnas.supernet.distributed import WorkerSpec
    from hwnas.supernet.published import PublishedSupernet


@brief
@dataclass(frozen=True)
class Trained:
    """A supernet, its history, which is empty where nothing was trained, and what identifies its weights."""

    supernet: Supernet
    history: tuple[Epoch, ...]
    weights: str
    published: str | None = None
    """Project whose published weights these are."""


def load_run(run: Workspace, reporter: Reporter) -> Trained:
    """Return the trained supernet of a run; a training that stopped early is reported.

    Raises:
        RunError: it was not trained yet, the checkpoint is damaged, or it is of other data, seed or recipe.
    """
    from hwnas.supernet import load_trained

    supernet, recipe, published = new_supernet(run), recipe_of(run), run.experiment.train.format
    history, path = load_trained(supernet, run.paths.train, _identity(run, recipe))
    if len(history) < recipe.epochs and published is None:
        after = f"{len(history)} of {recipe.epochs} epochs"
        reporter.info(f"{path}: training stopped after {after}; `{run.command('train')}` continues it")
    return trained_supernet(supernet, history, published)


def supernet_of(run: Workspace, reporter: Reporter) -> Trained | None:
    """Return the trained supernet; None where the run's accuracies need none and none was trained.

    Raises:
        RunError: as `load_run`.
    """
    return load_run(run, reporter) if run.source.supernet or checkpoints(run.paths.train) else None


def check_trained(run: Workspace) -> None:
    """Refuse a run that needs a supernet and has no checkpoint of one; PyTorch is not imported for it.

    Raises:
        RunError: it is one.
    """
    if run.source.supernet and not checkpoints(run.paths.train):
        raise RunError(
            "there is no checkpoint",
            where=str(run.paths.train),
            allowed="Training writes one after each epoch",
            do=f"Run `{run.command('train')}` first",
        )


def check_weights(run: Workspace) -> None:
    """Refuse a run whose file of weights is not there, unless its folder has checkpoints; PyTorch is not imported.

    Raises:
        ConfigError: it is one.
    """
    weights, form = run.experiment.train.weights, run.experiment.train.format
    if weights is None or checkpoints(run.paths.train) or (path := run.paths.resolve(weights)).is_file():
        return
    what = "Weights that `hwnas train --save` wrote" if form is None else f"A state dictionary of the format `{form}`"
    raise ConfigError(
        f"there is no file `{weights}`",
        where=f"experiment `{run.experiment.name}`: train.weights",
        allowed=f"{what}. Looked for {path}",
        do="Correct the path, or leave `train.weights` out to train",
    )


def adopt_weights(run: Workspace) -> None:
    """Begin the run's training where the weights of `train.weights` end, unless it has begun.

    Raises:
        ConfigError: they are of another space, seed, recipe or data, or there are none.
        RunError: they are damaged.
    """
    from hwnas.supernet.trained_weights import adopt, adopt_published

    check_weights(run)
    if run.experiment.train.weights is None or checkpoints(run.paths.train):
        return
    recipe, path = recipe_of(run), run.paths.resolve(run.experiment.train.weights)
    identity, form = _identity(run, recipe), published_form(run)
    if form is None:
        adopt(new_supernet(run), recipe, identity, path, run.paths.train)
    else:
        adopt_published(new_supernet(run), form, identity, path, run.paths.train)


def check_published(run: Workspace) -> None:
    """Refuse published weights that do not fill the run's supernet, unless its folder has a checkpoint of them.

    Raises:
        ConfigError: they do not, or there are none.
    """
    from hwnas.supernet.published.load import load_published

    weights, form = run.experiment.train.weights, published_form(run)
    if form is not None and weights is not None and not checkpoints(run.paths.train):
        load_published(new_supernet(run), form, run.paths.resolve(weights))


def untrained(run: Workspace) -> Trained:
    """Return a supernet with its first random weights."""
    return trained_supernet(new_supernet(run), [])


def new_supernet(run: Workspace) -> Supernet:
    """Return the untrained supernet on its device; PyTorch's threads are set as in the experiment."""
    import torch

    from hwnas.supernet import Supernet

    if run.experiment.threads is not None:
        torch.set_num_threads(run.experiment.threads)
    form = published_form(run)
    supernet = Supernet(
        run.space,
        seed=run.experiment.seed,
        kernel_transform=run.experiment.train.kernel_transform or (form is not None and form.kernel_transform),
        joint_bias=form is not None and form.joint_bias,
    )
    if run.experiment.train.initial_weights is not None:
        load_initial(supernet, run)
    return supernet.to(torch_device(run.experiment.device))


def load_initial(supernet: Supernet, run: Workspace) -> None:
    """Fill a supernet with the weights of `train.initial_weights`.

    Raises:
        RunError: they are damaged.
        ConfigError: they do not fit.
    """
    from hwnas.supernet.weights_file import read_weights

    path = initial_weights(run)
    state, own = read_weights(path), supernet.state_dict()
    unlike = [name for name in sorted({*state, *own}) if name not in state or name not in own]
    unlike += [name for name in own if name in state and state[name].shape != own[name].shape]
    if unlike:
        raise ConfigError(
            f"{len(unlike)} weights do not fit the space `{run.space.name}`, first `{unlike[0]}`",
            where=f"train.initial_weights: {path}",
            allowed="They are of the supernet of this space, as `hwnas adapt --how space` writes them",
            do="Write them anew, or leave `train.initial_weights` out",
        )
    supernet.load_state_dict(state)


def initial_weights(run: Workspace) -> Path:
    """Return the file of `train.initial_weights`.

    Raises:
        ConfigError: there is none.
    """
    named = run.experiment.train.initial_weights
    assert named is not None
    if not (path := run.paths.resolve(named)).is_file():
        raise ConfigError(
            f"there is no file `{named}`",
            where=f"experiment `{run.experiment.name}`: train.initial_weights",
            allowed=f"Weights that `hwnas adapt --how space` wrote. Looked for {path}",
            do="Correct the path, or leave `train.initial_weights` out",
        )
    return path


def published_form(run: Workspace) -> PublishedSupernet | None:
    """Return the form of the published weights that the run begins with; None if it trains.

    Raises:
        ConfigError: there is no such form.
    """
    name = run.experiment.train.format
    if name is None:
        return None
    from hwnas.registry import member
    from hwnas.supernet.published import PUBLISHED_SUPERNETS

    where = f"experiment `{run.experiment.name}`: train.format"
    form: PublishedSupernet = member(PUBLISHED_SUPERNETS, name, what="format of weights", where=where)
    return form


def _identity(run: Workspace, recipe: Recipe) -> dict[str, Any]:
    """Return the identity of the run's training, or of the weights that stand for it."""
    from hwnas.supernet import identity_of

    train = run.experiment.train
    own = {} if train.format is None else {"published": {"format": train.format, "weights": train.weights}}
    return {**identity_of(run.space, run.dataset, recipe, run.experiment.seed), **own}


def recipe_of(run: Workspace) -> Recipe:
    """Return the recipe by which the run's supernet is trained."""
    from hwnas.supernet import Recipe

    recipe = Recipe(**run.experiment.train.model_dump(exclude={"weights", "format"}))
    if recipe.initial_weights is None:
        return recipe
    return replace(recipe, initial_weights=sha256_of(initial_weights(run)))


def worker_spec(run: Workspace, supernet: Supernet, recipe: Recipe) -> WorkerSpec:
    """Return the arguments by which a supernet of the run is trained, in this process or as one of several."""
    from hwnas.supernet.distributed import WorkerSpec

    return WorkerSpec(
        supernet,
        run.space,
        run.dataset.without_test(),
        recipe,
        run.paths.train,
        run.experiment.seed,
        run.base,
        open_teacher(run),
    )


def trained_supernet(supernet: Supernet, history: list[Epoch], published: str | None = None) -> Trained:
    """Return a supernet with what identifies its weights: a digest of all of them."""
    digest = hashlib.sha256()
    for name, value in sorted(supernet.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return Trained(supernet, tuple(history), digest.hexdigest()[:12], published)


def torch_device(name: str) -> str:
    """Return the name of a torch device; `auto` becomes cuda if available.

    Raises:
        ConfigError: the named device is not available.
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
