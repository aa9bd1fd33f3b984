"""Experiments that a user names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from hwnas.config import Experiment, parse_experiment, read_experiment
from hwnas.data import check_data
from hwnas.errors import ConfigError
from hwnas.io.command import command_line
from hwnas.io.resources import find_file
from hwnas.io.yaml import read_yaml
from hwnas.user_code import check_reference


class Edited(str):
    """An experiment's reference with settings, `KEY=VALUE`, that take the place of its own.

    It is the text of the reference, so that every verb takes one; `experiment_of` reads the settings.
    """

    settings: tuple[str, ...]

    def __new__(cls, reference: str | Path, settings: Sequence[str] = ()) -> Edited:
        made = super().__new__(cls, reference)
        made.settings = tuple(settings)
        return made


def settings_of(reference: str | Path) -> tuple[str, ...]:
    """Return the settings that come with a reference."""
    return reference.settings if isinstance(reference, Edited) else ()


def on_command_line(reference: str | Path) -> str:
    """Return a reference as a command takes it, with its settings but those that may hold a password."""
    options = [word for one in settings_of(reference) for word in ("--set", shlex.quote(command_line([one])))]
    return " ".join([str(reference), *options])


def experiment_of(reference: str | Path) -> tuple[Path, Experiment]:
    """Return the file of the experiment that a reference names, and the experiment; its space is not examined.

    Raises:
        ConfigError: there is none, or it is invalid.
    """
    inside = Path(reference) / "experiment.yaml"
    path = inside if inside.is_file() else find_file(reference, "experiments")
    return path, read_experiment(path, settings_of(reference))


def as_begun(experiment: Experiment, recorded: Path) -> Experiment:
    """Return an experiment that leaves the sampler open with the one that its run was begun with, if any.

    The default was another one in earlier versions, and a run is continued with the sampler of its studies.

    Raises:
        ConfigError: a limit of the experiment does not go with that sampler.
    """
    if experiment.search.sampler != "auto" or not recorded.is_file():
        return experiment
    try:
        search = read_yaml(recorded).get("search")
    except ConfigError:  # it is written anew
        return experiment
    sampler = search.get("sampler", "auto") if isinstance(search, dict) else "auto"
    raw = experiment.model_dump(mode="json")
    return parse_experiment({**raw, "search": {**raw["search"], "sampler": sampler}}, where=str(recorded))


def check_references(experiment: Experiment, base: Path) -> None:
    """Refuse unknown data, and functions of files that are not there; nothing of them is read.

    Raises:
        ConfigError: an experiment names one.
    """
    if experiment.data is not None:
        check_data(experiment.data, base=base)
    named = {
        "accuracy.source": experiment.accuracy.source,
        "train: strategy": experiment.train.strategy,
        "train: teacher": experiment.train.teacher,
    }
    for where, reference in named.items():
        if reference is not None and ":" in reference:
            check_reference(reference, base=base, where=where)
