"""`hwnas doctor`: whether what a run keeps agrees with itself."""

from __future__ import annotations

import typer

from hwnas.cli.options import RUNS, Json, Reference, Runs
from hwnas.cli.printing import print_found
from hwnas.words import counted


def doctor(experiment: Reference, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Check that what a run keeps agrees, from its tables to its bundles; exit code 1 if not. Repairs nothing."""
    from hwnas import pipeline

    examined = pipeline.doctor(experiment, runs=runs)
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
    lines.append(counts if examined.issues else "all of it agrees")
    print_found(examined.as_dict(), as_json, lines)
    raise typer.Exit(0 if examined.sound else 1)
