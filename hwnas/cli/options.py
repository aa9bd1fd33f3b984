"""Arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from hwnas.cli.printing import alone
from hwnas.errors import ConfigError


class CommandGroup(TyperGroup):
    """A group of commands, which lists each with the whole first sentence of its help.

    Help is plain text: typer's boxes cut such sentences, and importing what draws them takes a tenth of a second.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown = {name: one for name in self.list_commands(ctx) if not (one := self.commands[name]).hidden}
        rows = [(name, one.get_short_help_str(1000)) for name, one in shown.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


Reference = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="An experiment's YAML file, the name of a shipped one, or a run's folder."
    ),
]
SpaceReference = Annotated[
    str, typer.Argument(metavar="SPACE", help="A space's YAML file, the name of a shipped one, or file.py:function.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that runs are kept in.")]


def _alone(context: typer.Context, as_json: bool) -> bool:
    if as_json:
        context.with_resource(alone())
    return as_json


Json = Annotated[
    bool,
    typer.Option("--json", callback=_alone, help="Print one JSON document on standard output and nothing else."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of the experiment and its value, in place of the file's: search.trials=50. Repeatable.",
    ),
]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="Trials for each tier, instead of the experiment's number.")
]
Front = Annotated[
    Literal["search", "halving"] | None,
    typer.Option(
        "--front",
        metavar="OF",
        help="search or halving; if left out, that of successive halving only where nothing was searched.",
    ),
]
RUNS = Path("runs")


def edited(experiment: str, settings: list[str] | None) -> str:
    """Return the reference of an experiment with the settings of `--set`."""
    if not settings:
        return experiment
    from hwnas.workspace.references import Edited

    return Edited(experiment, settings)


def refuse_options(options: Mapping[str, object], given: str, allowed: str) -> None:
    """Refuse options, by name, that say nothing where they were given: `with --plan`, `without --scenario`."""
    other = given.removeprefix("without ")
    do = "Leave one of them out" if other == given else f"Add {other}, or leave it out"
    for option, value in options.items():
        if value is not None:
            raise ConfigError(f"`{option}` is given {given}", where=option, allowed=allowed, do=do)


def refuse_settings(settings: list[str] | None, what: str, *, where: str) -> None:
    """Refuse `--set` where a command was given no experiment."""
    if settings:
        raise ConfigError(
            f"--set says nothing of {what}",
            where=where,
            allowed="It sets keys of an experiment, and none is named",
            do="Name an experiment, or leave --set out",
        )
