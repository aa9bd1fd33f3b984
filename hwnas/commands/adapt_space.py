"""A trained run brought to other data: its space with another head, its weights, its tables, and a new search."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.commands.adapt_sources import open_trained_run
from hwnas.commands.adaptation import Adaptation
from hwnas.commands.bench import plan_tables
from hwnas.commands.run import run as run_experiment
from hwnas.config import Experiment, dump_experiment, read_experiment
from hwnas.errors import ConfigError
from hwnas.io.atomic import write_file
from hwnas.io.yaml import dump_yaml, read_yaml
from hwnas.network import bound_task, first_shape
from hwnas.space import AnySpace, Space
from hwnas.space.values import NAME, parse_shape
from hwnas.tasks.ends import shape_text
from hwnas.words import counted
from hwnas.workspace.progress import Reporter
from hwnas.workspace.resolutions import resizing
from hwnas.workspace.spaces import unchecked_space
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.adapt.classes import ClassMatch
    from hwnas.adapt.new_data import NewData
    from hwnas.data import Dataset
    from hwnas.workspace.training.supernets import Trained

EPOCHS_SHARE = 1 / 3
"""Share of the epochs before that the new training has, if no number is given."""
INITIAL_WEIGHTS = "initial.safetensors"


def adapt_space(
    target: str,
    data: str,
    epochs: int | None,
    input_shape: str | None,
    name: str | None,
    runs: Path,
    reporter: Reporter,
) -> Adaptation:
    """Make the new run's experiment with all that it begins with, and run it."""
    from hwnas.adapt.classes import ClassMatch
    from hwnas.adapt.new_data import check_channels, data_spec, read_new_data

    if data.endswith(".npz"):
        raise ConfigError(
            f"`{data}` is an archive of raw samples",
            where="--data",
            allowed="A new run reads its data again and again: a data set as experiments name it",
            do="Name a YAML file with the data set, such as `data: {name: arrays, path: ...}`",
        )
    run, _, trained = open_trained_run(target, runs, None, reporter)
    spec, _ = data_spec(data)
    read = read_new_data(data, seed=run.experiment.seed, task=run.space.task)
    check_channels(read.dataset, first_shape(run.space), where=f"--data {data}")
    match = ClassMatch.of(run.dataset.class_names, read.dataset.class_names)
    if not match.shared:
        reporter.info(match.lines()[0])
    name = name or f"{run.experiment.name}_{Path(data).stem if ':' not in data else 'adapted'}"
    folder = run.folder.parent / name
    if not _is_begun(folder, read.dataset.name, spec):
        _prepare(run, trained, folder, read, match, epochs, input_shape)
    opened = open_run(folder)
    if (notice := resizing(opened.space, read.dataset.shape[1:])) is not None:
        reporter.info(f"{notice}; `--input {','.join(map(str, read.dataset.shape))}` takes them as they are")
    planned = plan_tables(opened)
    rows = {setup: {"reused": one.rows, "missing": one.missing} for setup, one in planned.items()}
    for setup, count in rows.items():
        reporter.info(
            f"{setup}: {counted(count['reused'], 'row')} of the table before are there, "
            f"{counted(count['missing'], 'row')} of new operators to be timed"
        )
    outcome = run_experiment(folder, reporter=reporter)
    trained_epochs, epochs_before = opened.experiment.train.epochs, run.experiment.train.epochs
    report = {
        "target": str(run.folder),
        "data": data,
        "run": str(folder),
        "classes": match.as_dict(),
        "epochs": trained_epochs,
        "epochs_before": epochs_before,
        "rows": rows,
        "report": str(outcome.report),
    }
    lines = (
        *match.lines(),
        f"trained for {counted(trained_epochs, 'epoch')}, {epochs_before} before",
        *(f"{setup}: {c['reused']} rows were there, {c['missing']} were timed" for setup, c in rows.items()),
        f"wrote {outcome.report}; see the fronts with: hwnas show {folder}",
    )
    return Adaptation("space", str(folder), report, lines)


def _is_begun(folder: Path, dataset: str, spec: Any) -> bool:
    """Return whether a folder holds this adaptation, which is then continued.

    Raises:
        ConfigError: it holds another run.
    """
    path = folder / "experiment.yaml"
    if not path.exists():
        return False
    experiment = read_experiment(path)
    if experiment.data == spec and experiment.train.initial_weights == str((folder / INITIAL_WEIGHTS).absolute()):
        return True
    raise ConfigError(
        f"there is another run of the name `{folder.name}`",
        where=str(folder),
        allowed=f"An adaptation to `{dataset}` has a folder of its own",
        do="Say `--name NAME`",
    )


def _prepare(
    run: Workspace,
    trained: Trained,
    folder: Path,
    data: NewData,
    match: ClassMatch,
    epochs: int | None,
    input_shape: str | None,
) -> None:
    """Write the folder of the new run: its space, its weights, its tables, and last its experiment."""
    from hwnas.adapt.transfer import transferred
    from hwnas.supernet import Supernet
    from hwnas.supernet.weights_file import write_weights

    assert data.spec is not None
    folder.mkdir(parents=True, exist_ok=True)
    space, reference = _new_space(run, folder, folder.name, data.dataset, input_shape)
    transform = run.experiment.train.kernel_transform
    new = Supernet(space, seed=run.experiment.seed, kernel_transform=transform)
    transfer = transferred(trained.supernet.cpu(), run.space, new, space, match)
    write_weights(transfer.state, folder / INITIAL_WEIGHTS)
    write_file(folder / "experiment.yaml", dump_experiment(_new_experiment(run, folder, data.spec, epochs, reference)))


def _new_experiment(run: Workspace, folder: Path, data: tuple[Any, Path], epochs: int | None, space: Any) -> Experiment:
    """Return the old experiment with the new data, weights to begin with, and the tables before."""
    old = run.experiment
    epochs = epochs or max(1, math.ceil(EPOCHS_SHARE * old.train.epochs))
    update: dict[str, Any] = {
        "epochs": epochs,
        "weights": None,
        "initial_weights": str((folder / INITIAL_WEIGHTS).absolute()),
        "warmup_largest_epochs": 0,
        "sort_channels_at": (),
        "phase_epochs": (),
        "phases": (),
        "warm_up_epochs": min(old.train.warm_up_epochs, epochs / 4),
        "strategy": "sandwich" if old.train.strategy == "progressive" else old.train.strategy,
    }
    setups = {}
    for setup, config in old.setups.items():
        table = run.paths.table(setup)
        if config.table is None and table.is_file():
            (folder / "latency").mkdir(exist_ok=True)
            shutil.copyfile(table, folder / "latency" / table.name)
        elif config.table is not None:
            config = config.model_copy(update={"table": str(table.absolute())})
        setups[setup] = config
    return old.model_copy(
        update={
            "name": folder.name,
            "title": f"{old.title or old.name}, adapted",
            "space": space,
            "data": data[0],
            "base": str(data[1].absolute()),
            "train": old.train.model_copy(update=update),
            "setups": setups,
            "search": old.search.model_copy(update={"warm_start": (), "storage": None}),
        }
    )


def _new_space(
    run: Workspace, folder: Path, name: str, dataset: Dataset, input_shape: str | None
) -> tuple[AnySpace, Any]:
    """Return the space with the data's classes and, if one is named, another input; its file is in the new folder.

    Raises:
        ConfigError: it cannot have them.
    """
    sizes = None if input_shape is None else parse_shape(input_shape, "--input", where="hwnas adapt")
    same = sizes is None and bound_task(run.space).outputs[0].shape[0] == dataset.classes
    if not isinstance(run.space, Space):
        if not same:
            raise ConfigError(
                f"the space comes from a Python function, and the data has {dataset.classes} classes",
                where=str(run.space_file),
                allowed="Classes and input of a space of stages are changed by hwnas; a function has its own",
                do="Write a function for the new classes, open it, and begin with `train.initial_weights`",
            )
        return run.space, run.experiment.space
    raw = dict(read_yaml(run.space_file))
    raw["name"] = _space_name(f"{run.space.name}_{name.rpartition('_')[2]}")
    raw["classes"] = dataset.classes
    if sizes is not None:
        raw["input"] = _input(raw["input"], sizes, run.space, dataset)
    for number, plugin in enumerate(run.space.plugins, 1):
        target = folder / "plugins" / str(number) / plugin.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plugin.path, target)
    if run.space.plugins:
        raw["plugins"] = [f"plugins/{n}/{plugin.path.name}" for n, plugin in enumerate(run.space.plugins, 1)]
    file = folder / "space.yaml"
    write_file(file, dump_yaml(raw))
    return replace(unchecked_space(str(file))[0], task=run.space.task), file.name


def _space_name(text: str) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in text.lower())
    return name if NAME.fullmatch(name) else "adapted"


def _input(raw: Mapping[str, Any], sizes: tuple[int, ...], space: Space, dataset: Dataset) -> dict[str, Any]:
    """Return the `input` of a space's file for another shape."""
    before = first_shape(space)
    square = "resolution" in raw
    if len(sizes) != len(before) or sizes[0] != before[0] or (square and sizes[1] != sizes[2]):
        raise ConfigError(
            f"`--input` is {shape_text(sizes)}, the space takes {shape_text(before)}",
            where="hwnas adapt",
            allowed="The number of axes and that of channels stay" + (", and images are square" if square else ""),
            do=f"Write `--input {','.join(map(str, dataset.shape))}`, or leave it out"
            if len(dataset.shape) == len(before)
            else "Leave it out",
        )
    if square:
        return {**raw, "resolution": sizes[1]}
    return {**raw, "shape": list(sizes)}
