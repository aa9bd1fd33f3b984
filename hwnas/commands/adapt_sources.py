"""Trained networks that can be adapted: a pick of a run, or a network of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.commands.export import picked_points
from hwnas.commands.settled import settled_network
from hwnas.data import Dataset, Split
from hwnas.errors import ConfigError, RunError, did_you_mean
from hwnas.export.manifest import MANIFEST
from hwnas.io.checksum import sha256_of
from hwnas.network import Network
from hwnas.opened.source import NetworkSource, module_of
from hwnas.opened.space_file import parse_opened, source_of
from hwnas.ops.classifier import Classifier
from hwnas.problem.fronts.loading import check_front_exists, load_front
from hwnas.problem.studies import weights_producer
from hwnas.space import Architecture
from hwnas.tasks.ends import is_plain
from hwnas.words import counted
from hwnas.workspace.progress import Reporter
from hwnas.workspace.training.supernets import check_trained, load_run, recipe_of, torch_device
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from torch import nn

    from hwnas.supernet import Recipe
    from hwnas.workspace.training.supernets import Trained

TARGETS_FORM = (
    "A run's folder or experiment, a bundle that `hwnas export` wrote, `FILE.py:FUNCTION` of a network of yours, or "
    "the YAML file that `hwnas open` wrote for it"
)


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with trained weights, and what is known of the data before.

    Args:
        label: in messages.
        network: its task and its input; of a user's network without its operators.
        module: with its weights and statistics, on the CPU.
        classes: names of its classes; empty if they are not known.
        normalised: a split that is normalised as its inputs are; None if that is not known.
        old: the data that it was trained on, if it is at hand.
        recipe: by which it was trained.
        seed: of the run.
        device: on which PyTorch computes.
        stem: of the folder that its adapted files are in, unless it is a run's.
        raw_steps: by which raw samples of an archive become those of a data set, such as cropping.
        architecture: of a run's network.
        run: that it is a pick of, with its tier.
    """

    label: str
    network: Network
    module: nn.Module
    classes: tuple[str, ...]
    normalised: Split | None
    old: Dataset | None
    recipe: Recipe
    seed: int
    device: str
    stem: str
    raw_steps: Sequence[Mapping[str, Any]] = ()
    architecture: Architecture | None = None
    run: tuple[Workspace, str] | None = None


def is_bundle(target: str) -> bool:
    """Return whether a path is the folder of a bundle."""
    return (Path(target) / MANIFEST).is_file()


def network_source(target: str, weights: Path | None) -> NetworkSource | None:
    """Return the source of a user's network; None if the target is something else.

    Raises:
        ConfigError, SpaceError: it is a model file, or the function, the file or the weights are missing.
    """
    path = Path(target)
    if path.suffix in (".onnx", ".tflite", ".pt2", ".pth", ".pt", ".safetensors"):
        raise ConfigError(
            f"`{target}` is a model file",
            where="hwnas adapt",
            allowed=f"{TARGETS_FORM}. A file alone has neither classes nor layers that can be trained",
            do="Name the run or the bundle that it is from, or the function that makes its network, with `--weights`",
        )
    if target.rpartition(":")[0].endswith(".py"):
        return source_of(target, weights, None, where="hwnas adapt", base=Path.cwd())
    if path.suffix in (".yaml", ".yml") and path.is_file():
        from hwnas.io.yaml import read_yaml

        raw = read_yaml(path)
        if "network" in raw:
            space = parse_opened(raw, where=target, base=path.parent)
            source: NetworkSource = space.build.source  # type: ignore[attr-defined]
            return source
    if weights is not None:
        raise ConfigError(
            f"--weights says nothing of `{target}`",
            where="hwnas adapt",
            allowed="It names the weights of a network of yours, `FILE.py:FUNCTION`",
            do="Leave it out",
        )
    return None


def user_network(source: NetworkSource) -> TrainedNetwork:
    """Return a user's network; its function may have attributes `classes`, `mean` and `std` of the data before.

    Raises:
        ConfigError, SpaceError: the function returns no network, the weights do not fit, or an attribute is no list.
    """
    from hwnas.user_code import load_source

    module, shape = module_of(source)
    function = getattr(load_source(source.file), source.function)
    classes = tuple(map(str, getattr(function, "classes", ())))
    stated = getattr(function, "mean", None), getattr(function, "std", None)
    return _classifier(source.where, source.function, module, shape, classes, stated)


def bundled_network(folder: Path, pick: str | None) -> TrainedNetwork:
    """Return the network of a bundle alone, by its plain module, which is run; the knee or the first if none is named.

    Raises:
        ConfigError: there is no such pick, it is no classifier, or its module or weights are missing or were changed.
    """
    from hwnas.adapt.new_data import as_data_error
    from hwnas.export.standalone.network import read_manifest
    from hwnas.export.standalone.steps import raw_steps

    with as_data_error():
        models = read_manifest(folder)["models"]
    picks = [name for one in models for name in one["picks"]]
    if pick not in (None, *picks):
        raise ConfigError(
            f"the bundle has no network `{pick}`",
            where=str(folder),
            allowed=did_you_mean(str(pick), picks),
            do="Name one of its networks, or leave --pick out",
        )
    model = next((one for one in models if (pick or "knee") in one["picks"]), models[0])
    files, label = model.get("module") or {}, f"{folder}, {model['picks'][0]}"
    if why := _untrainable(model, files):
        raise ConfigError(
            why,
            where=str(folder),
            allowed="Outside its run a classifier is adapted by the plain module and the weights in its bundle",
            do="Name the run that the bundle is from",
        )
    paths = {kind: folder / files[kind]["file"] for kind in ("source", "weights")}
    for kind, path in paths.items():
        if not path.is_file() or sha256_of(path) != files[kind]["sha256"]:
            raise ConfigError(
                "the file is gone, or another than the manifest lists",
                where=str(path),
                allowed="A bundle is used as it was exported",
                do="Copy the folder again",
            )
    source = source_of(
        f"{paths['source'].name}:build", paths["weights"], model["input_shape"], where=label, base=folder
    )
    prepared = model["preprocessing"]
    trained = _classifier(
        label,
        folder.resolve().name,
        *module_of(source),
        tuple(model["classes"]),
        (prepared.get("mean"), prepared.get("std")),
    )
    return replace(trained, raw_steps=prepared["steps"][: raw_steps(prepared)])


def _untrainable(model: Mapping[str, Any], files: Mapping[str, Any]) -> str | None:
    """Return why the module of a bundle's network is not trained on; None if it can be."""
    if not model.get("classes"):
        return "the network is no classifier"
    if not files.get("source"):
        return f"the bundle has no module of PyTorch ({files.get('reason', 'it is of an earlier hwnas')})"
    return "its module takes raw numbers, and prepares them itself" if "in_file" in model["preprocessing"] else None


def _classifier(
    where: str, stem: str, module: nn.Module, shape: Any, classes: tuple[str, ...], stated: tuple[Any, Any]
) -> TrainedNetwork:
    """Return a trained classifier, of which names of classes, mean and deviation of inputs may be known."""
    import torch

    from hwnas.supernet import Recipe
    from hwnas.tasks.ends import call, examples

    with torch.no_grad():
        outputs = call(module.eval(), examples(shape, 2)[0])
    if not is_plain(shape) or not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        raise ConfigError(
            "the network returns something else than logits, one row a sample",
            where=where,
            allowed="A classifier of one input is adapted",
            do="Wrap it in a module that returns the logits alone",
        )
    width = outputs.shape[1]
    if classes and len(classes) != width:
        raise ConfigError(
            f"`classes` of the function holds {len(classes)} names, the network gives {width} logits",
            where=where,
            allowed="One name for each logit, in their order",
            do="Correct the attribute, or leave it out",
        )
    network = Network((Classifier(int(shape[0]), width),), (stem,), shape)
    normalised = _normalisation(stated, shape, where)
    return TrainedNetwork(where, network, module, classes, normalised, None, Recipe(), 0, "cpu", stem)


def _normalisation(stated: tuple[Any, Any], shape: tuple[int, ...], where: str) -> Split | None:
    """Return an empty split that is normalised by a mean and a deviation; None if none are stated."""
    import torch

    if stated == (None, None):
        return None
    if not all(isinstance(one, list | tuple) and len(one) == shape[0] for one in stated):
        raise ConfigError(
            f"`mean` and `std` of the function are {stated[0]!r} and {stated[1]!r}",
            where=where,
            allowed=f"Both are lists of {shape[0]} numbers, one for each channel, of values from 0 to 1",
            do="Correct the attributes, or leave both out",
        )
    mean, std = (torch.tensor(one).float().reshape(-1, *(1 for _ in shape[1:])) for one in stated)
    nothing = torch.zeros(0, dtype=torch.int64)
    from hwnas.data import Stored

    return Split(Stored(torch.zeros(0, *shape)), nothing, nothing, mean, std)


def open_trained_run(target: str, runs: Path, tier: str | None, reporter: Reporter) -> tuple[Workspace, str, Trained]:
    """Return a run that is trained to the end, its tier and its supernet.

    Raises:
        ConfigError: there is no such run or tier.
        RunError: its training is not finished.
    """
    run = open_run(target, runs=runs, before=check_trained)
    name = tier or next(iter(run.experiment.tiers))
    if name not in run.experiment.tiers:
        raise ConfigError(
            f"`{name}` is no tier",
            where="hwnas adapt: --tier",
            allowed=did_you_mean(name, run.experiment.tiers),
            do="Name a tier of the experiment",
        )
    if not run.source.supernet:
        raise ConfigError(
            f"the run takes its accuracies from `{run.experiment.accuracy.source}`, and trained nothing",
            where=str(run.folder),
            allowed="Trained weights are adapted",
            do="Adapt a run with `accuracy.source: inherited`",
        )
    trained = load_run(run, reporter)
    if (done := len(trained.history)) < (epochs := recipe_of(run).epochs):
        raise RunError(
            f"its training is not finished: {done} of {counted(epochs, 'epoch')}",
            where=str(run.paths.train),
            allowed="A run is adapted when it is trained",
            do=f"Run `{run.command('train')}`, which continues it",
        )
    return run, name, trained


def picked_network(target: str, runs: Path, tier: str | None, pick: str, reporter: Reporter) -> TrainedNetwork:
    """Return a network of a run's front, as it is exported.

    Raises:
        ConfigError: there is no such run, tier or pick.
        RunError: the run is not trained to the end, or not searched.
    """
    run, name, trained = open_trained_run(target, runs, tier, reporter)
    check_front_exists(run)
    front = load_front(run, name, producer=weights_producer(run, trained))
    chosen = picked_points([pick], front.points, front.tier.objectives)
    if not chosen:
        raise RunError(
            f"no network of the tier `{name}` is within its limits",
            where=str(run.paths.front(name)),
            allowed="A network of a front is adapted",
            do="Widen `limits` of the tier, and search again",
        )
    point = chosen[0][0]
    settled = settled_network(run, front, point, trained, lambda epoch, epochs: None)
    return TrainedNetwork(
        f"{run.folder}, {pick} of {name}",
        settled.network,
        settled.module,
        run.dataset.class_names,
        run.dataset.train,
        run.dataset,
        recipe_of(run),
        run.experiment.seed,
        torch_device(run.experiment.device),
        run.folder.name,
        run.dataset.raw.steps,
        point.architecture,
        (run, name),
    )


def run_of_bundle(target: str) -> tuple[str, str] | None:
    """Return the run's folder that a bundle stands in, and its tier; None if it stands elsewhere."""
    folder = Path(target).resolve()
    for parent in folder.parents[:3]:
        if (parent / "experiment.yaml").is_file():
            return str(parent), folder.name
    return None
