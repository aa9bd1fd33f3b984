"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwnas.cli.printing import alone

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
