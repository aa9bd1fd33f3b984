"""`hwnas doctor`: a run that agrees with itself, and members from outside that can be used."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.cli.options import RUNS, Json, Runs, Settings, edited, refuse_settings
from hwnas.cli.printing import print_result
from hwnas.words import counted

Examined = Annotated[
    str | None,
    typer.Argument(metavar="EXPERIMENT", help="An experiment or a run's folder; if left out, members from outside."),
]


def doctor(experiment: Examined = None, runs: Runs = RUNS, settings: Settings = None, as_json: Json = False) -> None:
    """Check that what a run keeps agrees, from its tables to its bundles; exit code 1 if not. Repairs nothing."""
    from hwnas import pipeline

    if experiment is None:
        refuse_settings(settings, "what is installed", where="hwnas doctor")
    examined = pipeline.doctor(None if experiment is None else edited(experiment, settings), runs=runs)
    lines = [f"looked at {what}" for what in examined.examined]
    for one in examined.issues:
        lines += [
            f"{one.severity}: {one.problem}",
            f"  where:   {one.where}",
            f"  allowed: {one.allowed}",
            f"  next:    {one.do}",
        ]
    errors = sum(one.severity == "error" for one in examined.issues)
    counts = f"{counted(errors, 'error')}, {counted(len(examined.issues) - errors, 'note')}"
    nothing = "no installed distribution adds a member" if experiment is None else "there was nothing to look at"
    lines.append(counts if examined.issues else "all of it agrees" if examined.examined else nothing)
    print_result(examined.as_dict(), as_json, lines)
    raise typer.Exit(0 if examined.sound else 1)
